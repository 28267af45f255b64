"""What is shown holds nothing that controls a terminal, reorders a line or cannot be seen."""

import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from p300.errors import LONGEST_MESSAGE, RecordingError
from p300.text import is_clean, printable

HOSTILE = {
    "escape": "\x1b[2Jrun", "bell": "a\x07", "c1": "a\x9b31m", "right to left": "gnp\u202eexe.csv", "isolate": "\u2066a\u2069",
    "zero width": "su\u200bbject", "byte order mark": "\ufeffa", "soft hyphen": "a\u00adb", "tag": "a\U000e0041", "line": "a\nb",
    "paragraph": "a\u2029b", "filler": "a\u3164b", "variation": "a\ufe0f", "joiner": "a\u034fb", "surrogate": "a\ud800",
    "no-break": "a\u00a0b", "braille blank": "a\u2800b",
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_characters_are_escaped(kind: str) -> None:
    assert not is_clean(HOSTILE[kind])
    shown = printable(HOSTILE[kind])
    assert is_clean(shown)
    assert "\\" in shown


@pytest.mark.parametrize("text", ["", "subject_01/run 1.csv", "Zoë", "脳波", "µV ± 3 °C", "[bold]", "\U0001f9e0"])
def test_what_can_be_seen_stays(text: str) -> None:
    assert printable(text) is text


@given(st.text(st.characters()))
@example("\\x1b")
def test_nothing_but_what_can_be_seen_comes_out(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert is_clean(shown)
    assert not [char for char in shown if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}]
    assert printable(shown) == shown


def test_lines_stay_where_a_text_has_lines() -> None:
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@given(st.text(st.characters(), max_size=300) | st.just("\u202e" * 5000))
def test_messages_are_clean_and_short(text: str) -> None:
    message = RecordingError("code", f"{text} was found").message
    assert is_clean(message)
    assert len(message) <= LONGEST_MESSAGE
    json.dumps(message, ensure_ascii=False).encode()

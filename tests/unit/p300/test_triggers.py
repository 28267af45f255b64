"""Trigger lines: what electronics do to a code is undone, and counted; MNE-Python's answer is there for those who want it."""

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300.signals.triggers import Triggers, find_pulses, settling

SFREQ = 512.0  # bits settle within two samples
AS_MNE = Triggers(repair=False)


def pulses(text: str, triggers: Triggers | None = None) -> list[tuple[int, int]]:
    found = find_pulses(np.array([int(code) for code in text.replace(" ", "")]), SFREQ, triggers)
    return list(zip(found.onset.tolist(), found.code.tolist(), strict=True))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("000 111 000 222 000", [(3, 1), (9, 2)]),
        ("000 122 2222 000", [(3, 2)]),  # bits that rise a sample apart
        ("000 132 2222 000", [(3, 2)]),
        ("000 222 2221 000", [(3, 2)]),  # and fall so
        ("000 110 1111 000", [(3, 1)]),  # a drop-out
        ("000 222 3222 000", [(3, 2)]),  # a bit that flickers
        ("000 1111 2222 1111 000", [(3, 1), (7, 2), (11, 1)]),  # codes that stay until the next
        ("000 1111 3222 1111 000", [(3, 1), (7, 2), (11, 1)]),
        (
            "000 1111111110 2222222220 1111111110 1111111110 000",
            [(3, 1), (13, 2), (23, 1), (33, 1)],
        ),  # rests of a sample
        ("000 1 000 2 000", [(3, 1), (7, 2)]),  # pulses of a sample
        ("111 000 2222 000", [(6, 2)]),  # a pulse that is on at the beginning has no onset
        ("000 11111111 000 22222222 000 1 000 11111111 000", [(3, 1), (14, 2), (29, 1)]),  # a glitch
        ("0000", []),
    ],
)
def test_pulses(line: str, found: list[tuple[int, int]]) -> None:
    assert pulses(line) == found


def test_what_was_repaired_is_counted() -> None:
    line = [int(code) for code in "0001222222222000110111111000111111111000100000"]
    assert find_pulses(np.array(line), SFREQ).repaired == {
        "drop-outs within a pulse closed": 1,
        "pulses whose bits changed apart joined": 1,
        "pulses too short for a flash left out": 1,
    }


def test_a_pulse_says_which_code_it_replaced() -> None:
    assert find_pulses(np.array([0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 1, 1, 1, 1]), SFREQ).before.tolist() == [0, 1, 0]


def test_shortest_pulse_and_refractory_time_are_parameters() -> None:
    line = "000 11 0000 222222 0000 111111 000"
    assert pulses(line, Triggers(min_s=5 / SFREQ)) == [(9, 2), (19, 1)]
    assert pulses(line, Triggers(refractory_s=8 / SFREQ)) == [(3, 1), (19, 1)]
    assert pulses(line, Triggers(min_s=5 / SFREQ, refractory_s=11 / SFREQ)) == [(9, 2)]


@pytest.mark.parametrize(("sfreq", "n_samples"), [(100, 1), (250, 1), (512, 2), (1000, 4), (2048, 8)])
def test_bits_settle_within_four_milliseconds(sfreq: float, n_samples: int) -> None:
    assert settling(sfreq) == n_samples


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
@settings(deadline=None)
def test_without_repair_pulses_are_those_of_find_events(values: list[int]) -> None:
    line = np.array(values)
    raw = mne.io.RawArray(line[np.newaxis].astype(float), mne.create_info(["STI"], 100.0, "stim"), verbose="error")
    events = mne.find_events(raw, "STI", consecutive="increasing", shortest_event=1, verbose="error")
    found = find_pulses(line, 100.0, AS_MNE)
    np.testing.assert_array_equal(found.onset, events[:, 0])
    np.testing.assert_array_equal(found.code, events[:, 2])
    assert found.repaired == {}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200), st.sampled_from([100.0, 512.0, 2048.0]))
def test_any_line_gives_pulses_in_order_with_codes_that_it_holds(values: list[int], sfreq: float) -> None:
    line = np.array(values)
    found = find_pulses(line, sfreq)
    assert (np.diff(found.onset) > 0).all()
    assert (line[found.onset] != 0).all()
    assert (found.onset > 0).all()
    assert set(found.code.tolist()) <= set(values) - {0}

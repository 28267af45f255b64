"""The text of a sidecar against what labels, groups and layout spell."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from p300.readers import open_recording
from p300.recording import TARGET
from p300.synth import write_subjects

ROWS = ["ABCDEF", "GHIJKL", "MNOPQR", "STUVWX", "YZ1234", "567890"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_subjects(tmp_path_factory.mktemp("spelled"), [1], n_repetitions=12)[0]


@pytest.fixture(scope="module")
def text(path: Path) -> str:
    """Return the two symbols, each of six repetitions: columns are groups 1 to 6, rows 7 to 12."""
    flashes = open_recording(path).flashes
    assert flashes.flash is not None
    symbols = []
    for half in np.split(np.arange(len(flashes.label)), 2):
        column, row = sorted(set(flashes.flash[half][flashes.label[half] == TARGET].tolist()))
        symbols.append(ROWS[row - 7][column - 1])
    return "".join(symbols)


def notes(path: Path, layout: dict[str, Any], text: Any) -> list[str]:
    found = open_recording(path, sidecar={"layout": layout, "text": text}).notes
    return [note for note in found if "labels" in note]


def test_the_text_that_the_labels_spell_is_not_noted(path: Path, text: str) -> None:
    assert notes(path, {"type": "grid", "rows": ROWS}, text) == []
    assert notes(path, {"type": "grid", "rows": ROWS}, list(text)) == []


@pytest.mark.parametrize("change", [lambda text: text[::-1], lambda text: text[:1], lambda text: f"{text}A"])
def test_another_text_is_noted(path: Path, text: str, change: Any) -> None:
    (note,) = notes(path, {"type": "grid", "rows": ROWS}, change(text))
    assert note == f"the sidecar's text is {change(text)!r}, the labels spell {text!r}: one of the two is wrong"


def test_a_layout_numbered_the_other_way_round_is_noticed(path: Path, text: str) -> None:
    assert "labels spell" in notes(path, {"type": "grid", "rows": ROWS, "rows_first": True}, text)[0]


def test_targets_that_no_symbol_has_are_noted(path: Path) -> None:
    groups = {str(group): [symbol] for group, symbol in enumerate("ABCDEFGHIJKL", 1)}
    (note,) = notes(path, {"type": "sets", "symbols": list("ABCDEFGHIJKL"), "groups": groups}, "AB")
    assert "not compared with the labels: in 12 of 12 parts" in note

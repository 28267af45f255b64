"""The text of a sidecar against what labels, groups and layout spell."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.readers import open_recording
from p300.recording import TARGET
from p300.synth import write_subjects

from tests.support.labs import generated

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
    assert (
        note
        == f"the sidecar's text is {change(text)!r}, the labels spell {text!r}: the text, the layout or the labels are wrong"
    )


def test_a_layout_numbered_the_other_way_round_is_noticed(path: Path, text: str) -> None:
    """The note names the field that is wrong, whichever of its two values that is."""
    (note,) = notes(path, {"type": "grid", "rows": ROWS, "rows_first": True}, text)
    assert note.endswith("with rows_first: false in the layout, they spell the text")
    turned = ["".join(column) for column in zip(*ROWS, strict=True)]
    (note,) = notes(path, {"type": "grid", "rows": turned}, text)
    assert note.endswith("with rows_first: true in the layout, they spell the text")


def test_targets_that_no_symbol_has_are_noted(path: Path) -> None:
    groups = {str(group): [symbol] for group, symbol in enumerate("ABCDEFGHIJKL", 1)}
    contradicted, note = notes(path, {"type": "sets", "symbols": list("ABCDEFGHIJKL"), "groups": groups}, "AB")
    assert "in 12 of 12 repetitions, the targets fit no symbol" in contradicted
    assert "not compared with the labels: in 12 of 12 parts" in note


def labelled(folder: Path, pairs: list[tuple[int, int]], seed: int = 0) -> Path:
    """Write a recording of five repetitions a symbol, whose targets are these groups of twelve."""
    rng = np.random.default_rng(seed)
    codes, groups = [0] * 256, [0] * 256
    for pair in pairs:
        for group in np.concatenate([rng.permutation(12) + 1 for _ in range(5)]).tolist():
            codes += [2 if group in pair else 1, *[0] * 44]
            groups += [group, *[0] * 44]
        codes += [0] * 512
        groups += [0] * 512
    noise = {f"eeg_{name}": rng.normal(0, 10, len(codes)) for name in ("Fz", "Cz", "Pz")}
    table = pa.table({**noise, "stim": pa.array(codes, pa.int32()), "flash": pa.array(groups, pa.int32())})
    path = folder / "a.parquet"
    pq.write_table(table.replace_schema_metadata({"sfreq": "256"}), path)
    return path


@given(
    n_rows=st.integers(2, 10), pairs=st.lists(st.tuples(st.integers(1, 6), st.integers(7, 12)), min_size=2, max_size=5)
)
@generated(15)
def test_a_layout_of_another_shape_is_held_against_the_labels_without_a_text(
    tmp_path_factory: pytest.TempPathFactory, n_rows: int, pairs: list[tuple[int, int]]
) -> None:
    """Targets of 6 x 6 symbols in a layout of twelve other lines: those with two columns or two rows are no symbol's."""
    n_columns = 12 - n_rows
    rows = [[f"{row}:{column}" for column in range(n_columns)] for row in range(n_rows)]
    path = labelled(tmp_path_factory.mktemp("shape"), pairs)
    found = open_recording(path, sidecar={"layout": {"type": "grid", "rows": rows}}).notes
    n_wrong = 5 * sum((column <= n_columns) == (row <= n_columns) for column, row in pairs)
    said = f"the sidecar's layout contradicts the labels: in {n_wrong} of {5 * len(pairs)} repetitions"
    assert [said in note for note in found if "contradicts the labels" in note] == [True] * bool(n_wrong)

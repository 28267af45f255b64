"""No MATLAB or EEGLAB file claims more than a recording has, or makes a reader open another file; see test_readers_bounds.py."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from p300.limits import MOST_CHANNELS, MOST_VARIABLES
from p300.readers.matlab_structure import MOST_FIELDS

from tests.fuzz import corpus
from tests.support.readers import refused

EVENTS = corpus.EVENTS


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def array(kind: int, dimensions: list[int], *parts: bytes, name: bytes = b"x") -> bytes:
    head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack(f"<{len(dimensions)}i", *dimensions))
    return element(14, head + element(1, name) + b"".join(parts))


EMPTY = element(14, b"")
MATLAB = {
    "arrays in arrays": array(1, [1, 3 << 19], EMPTY * (3 << 19)),
    "variables": array(6, [1, 1], element(9, bytes(8))) * (MOST_VARIABLES + 1),
    "fields": array(2, [1, 1], element(5, struct.pack("<i", 1)), element(1, b"a" * (MOST_FIELDS + 1)), EMPTY * (MOST_FIELDS + 1)),
    "dimensions": array(6, [1] * 100_000, element(9, bytes(8))),
    "flags": element(14, element(6, bytes(400_000))),
}  # fmt: skip


@pytest.mark.parametrize("kind", MATLAB)
def test_claims_of_a_matlab_file(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + MATLAB[kind])
    refused(tmp_path / "a.mat", "unreadable", kind)


def test_a_sparse_matrix_is_looked_through_without_a_number_object_each(tmp_path: Path) -> None:
    import tracemalloc

    n = 1 << 20
    indices = element(5, bytes(4 * n)) + element(5, struct.pack("<2i", 0, n))
    body = array(5, [n, 1], indices, element(9, bytes(8 * n)))
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + body)
    from p300.readers.matlab_structure import check_structure

    tracemalloc.start()
    try:
        check_structure(tmp_path / "a.mat", "little")
        assert tracemalloc.get_traced_memory()[1] < 4 * n
    finally:
        tracemalloc.stop()


def many(n: int, what: dict[str, Any]) -> np.ndarray:
    return np.array([what] * n)


EEGLAB: dict[str, tuple[dict[str, Any], str, str]] = {
    "channels": ({"nbchan": 1e9, "chanlocs": []}, "too_many_channels", "1,000,000,000 channels"),
    "places": ({"chanlocs": many(MOST_CHANNELS + 1, {"labels": "x"})}, "too_many_channels", f"{MOST_CHANNELS + 1:,}"),
    "samples": ({"pnts": 1e12}, "too_large", "samples"),
    "no number": ({"nbchan": "many"}, "unreadable", "nbchan is 'many'"),
    "a structure in it": ({"EEG": {"data": "/tmp/other.fdt"}}, "unreadable", "a structure EEG in the structure EEG"),
    "a name in a cell": ({"data": np.array(["/tmp/other.fdt", ""], object)}, "unreadable", "no signal"),
    "no signal": ({"data": {"a": 1.0}}, "unreadable", "no signal"),
}


@pytest.mark.parametrize("kind", EEGLAB)
def test_claims_of_eeglab(tmp_path: Path, kind: str) -> None:
    changes, code, word = EEGLAB[kind]
    corpus.set_file(tmp_path / "a.set", **changes)
    refused(tmp_path / "a.set", code, word)


def test_more_events_than_any_recording_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p300.readers.eeglab.MOST_ANNOTATIONS", 10)
    corpus.set_file(tmp_path / "a.set")
    refused(tmp_path / "a.set", "too_many_annotations", f"{len(EVENTS)} events", "at most 10")


def test_of_two_structures_none_is_taken(tmp_path: Path) -> None:
    """SciPy, asked for one variable, takes the first; asked for all, the last: the other would name a file unseen."""
    corpus.set_file(tmp_path / "a.set")
    corpus.set_file(tmp_path / "b.set", data="/tmp/other.fdt")
    both = (tmp_path / "a.set").read_bytes() + (tmp_path / "b.set").read_bytes()[128:]
    (tmp_path / "a.set").write_bytes(both)
    assert len(scipy.io.whosmat(tmp_path / "a.set")) == 2
    refused(tmp_path / "a.set", "unreadable", "two variables with one name")

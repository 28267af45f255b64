"""Hostile input, in short (`make fuzz` is the long form): nothing comes out of a reader but a recording or an error that says why."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz import __main__ as main
from tests.fuzz import targets
from tests.fuzz.targets import TARGETS, Target, case

CASES = 50  # of each target; `make fuzz` takes as many as it is told


@pytest.mark.parametrize("target", TARGETS)
def test_whatever_comes_in_is_used_or_refused(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "keep", lambda finding: None)
    result = main.fuzz(target, 0, range(CASES))
    assert not result.findings, "\n\n".join(f"{finding.number}: {finding.detail}" for finding in result.findings[:3])
    assert result.n_cases == CASES
    assert len(result.outcomes) > 1, f"cases that all end at one check show nothing: {result.outcomes}"


def test_a_case_is_the_same_whenever_it_is_made() -> None:
    for target in ("parquet", "vhdr", "manifest"):
        assert case(target, 3, 14) == case(target, 3, 14) != case(target, 3, 15)


def hangs(*_: Any) -> str:
    while True:
        pass


BAD: dict[str, tuple[Callable[..., Any], str]] = {
    "raises what it should not": (lambda *_: dict[str, str]()["x"], "KeyError"),
    "looks around": (lambda *_: Path("/etc/hostname").read_text(), "touched: opened"),
    "takes memory": (lambda *_: bytearray(2 << 30), "MemoryError"),
    "dies": (lambda *_: os._exit(9), "the process died (9)"),
    "hangs": (hangs, "longer than"),
}


@pytest.mark.parametrize("how", BAD)
def test_the_fuzzer_sees_what_a_reader_must_not_do(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process that starts as a copy of this one, so that it knows the bad reader."""
    run, kind = BAD[how]
    monkeypatch.setattr(main, "START", "fork")
    monkeypatch.setattr(main, "LONGEST_S", 0.5)
    monkeypatch.setattr(main, "keep", lambda finding: None)
    monkeypatch.setitem(targets.TARGETS, "bad", Target(lambda _: {"x": b""}, run, list))
    result = main.fuzz("bad", 0, range(1))
    assert [finding.kind.startswith(kind) for finding in result.findings] == [True], result

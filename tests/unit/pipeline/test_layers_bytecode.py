"""What becomes of the files in a layer: bytecode in place of source or beside it, and libraries without symbols."""

import subprocess
import sys
from pathlib import Path

import pytest
from p300_cli.deploy import layer_builder

from tests.support.trees import plant, planted

builder = layer_builder()
PLAN = builder.Plan.read()
MODULE = '"""Module."""\nfrom __future__ import annotations\n\n\nclass A:\n    """Class."""\n\n    def f(self):\n        """Only this."""\n'


def run_module(folder: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-B", "-P", "-c", code],
        cwd="/",
        check=False,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_bytecode_stands_alone_and_keeps_docstrings_where_asked(tmp_path: Path) -> None:
    plant(tmp_path, "bare/__init__.py", "full/__init__.py", content=MODULE)
    builder.compile_bytecode(tmp_path, keep_source=False, without_docstrings=("bare/*",))
    assert planted(tmp_path) == {"bare/__init__.pyc", "full/__init__.pyc"}
    docs = "import {0} as m; print([o.__doc__ for o in (m, m.A, m.A.f)], m.A.f.__code__.co_filename)"
    assert run_module(tmp_path, docs.format("bare")) == "[None, None, None] /opt/python/bare/__init__.py"
    assert (
        run_module(tmp_path, docs.format("full")) == "['Module.', 'Class.', 'Only this.'] /opt/python/full/__init__.py"
    )


def test_bytecode_beside_source_survives_another_time_stamp(tmp_path: Path) -> None:
    plant(tmp_path, "own/__init__.py", content="FROM = 'bytecode'\n")
    builder.compile_bytecode(tmp_path, keep_source=True)
    (tmp_path / "own/__init__.py").write_text("FROM = 'source'\n")
    assert run_module(tmp_path, "import own; print(own.FROM)") == "bytecode"


def test_a_module_that_does_not_compile_is_named(tmp_path: Path) -> None:
    plant(tmp_path, "own/broken.py", content="def\n")
    with pytest.raises(builder.LayerBuildError, match=r"own/broken\.py"):
        builder.compile_bytecode(tmp_path, keep_source=True)


def test_strip_leaves_the_named_alone_and_says_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(tmp_path, "numpy.libs/libopenblas.so", "a/b.so", "a/lib.so.2600", "a/c.py")
    fake = tmp_path / "fake-strip"
    fake.write_text('#!/bin/sh\necho stripped > "$2"\n')
    fake.chmod(0o755)
    builder.strip_symbols(tmp_path, builder.Stripper(str(fake), "1"), PLAN.unstripped)
    stripped = {path for path in planted(tmp_path) if (tmp_path / path).read_text() == "stripped\n"}
    assert stripped == {"a/b.so", "a/lib.so.2600"}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert builder.find_strip("arm64") is None
    assert "no strip for arm64" in capsys.readouterr().err

"""Fixtures: an interpreter for the functions, and sandboxes that are gone after the test."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import Function

from localstack_process_executor.environment import function_environment
from localstack_process_executor.reaper import Reaper
from localstack_process_executor.sandbox import FunctionSpec


@pytest.fixture(scope="session")
def runtime_python() -> Path:
    """Return the interpreter of an environment with awslambdaric and boto3."""
    python = os.environ.get("LAMBDA_PROCESS_PYTHON")
    if not python:
        pytest.fail("Set LAMBDA_PROCESS_PYTHON to the interpreter of an environment that holds awslambdaric and boto3.")
    return Path(python)


@pytest.fixture(scope="session")
def reaper() -> Iterator[Reaper]:
    reaper = Reaper()
    yield reaper
    reaper.close()


@pytest.fixture
def function(tmp_path: Path, runtime_python: Path, reaper: Reaper) -> Iterator[Callable[..., Function]]:
    """Return a maker of functions: `function(code, timeout_s=1)`."""
    made: list[Function] = []

    def make(code: str, *, opt: Path | None = None, handler: str = "app.handler", **changes: Any) -> Function:
        root = tmp_path / f"function-{len(made)}"
        task_root = root / "code"
        task_root.mkdir(parents=True)
        spec = FunctionSpec(
            argv=[str(runtime_python), "-P", "-m", "awslambdaric", handler],
            env=function_environment(
                {}, runtime="python3.13", python=runtime_python, task_root=task_root, opt=opt, tmp=root / "own" / "tmp"
            ),
            cwd=task_root,
            timeout_s=30,
            memory_mb=512,
            max_response_bytes=6 * 1024 * 1024 + 100,
            init_timeout_s=30,
            version="$LATEST",
            python_version="3.13",
        )
        made.append(Function(replace(spec, **changes), root / "own", reaper))
        made[-1].write(code)
        return made[-1]

    yield make
    for each in made:
        each.sandbox.stop()

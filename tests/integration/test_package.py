"""The wheel in an empty environment: what its metadata declares is enough for the command and the science."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import p300
import pytest

from tests.support.paths import PROJECT

SOURCES = ("layers/p300/python", "layers/pipeline/python", "clients")


def run(*command: str | Path, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program as a user would who has no checkout."""
    hidden = ("AWS_", "P300_", "PYTHON", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of an environment in which nothing but the wheel was asked for."""
    folder = tmp_path_factory.mktemp("package")
    uv = shutil.which("uv") or PROJECT / ".envs" / "uv" / "bin" / "uv"
    source = folder / "source"  # a build leaves its traces beside what it builds
    for path in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(PROJECT / path, source / path, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    run(uv, "build", "--quiet", "--python", sys.executable, "--wheel", "--out-dir", folder, source, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    assert wheel.name.startswith(f"p300_pipeline-{p300.__version__}-")
    run(uv, "venv", "--quiet", "--python", sys.executable, folder / "environment", cwd=folder)
    python = folder / "environment" / "bin" / "python"
    run(uv, "pip", "install", "--quiet", "--python", python, wheel, cwd=folder)
    run(uv, "pip", "check", "--quiet", "--python", python, cwd=folder)
    yield python.parent
    shutil.rmtree(folder)


def test_command(installed: Path, tmp_path: Path) -> None:
    assert "simulate" in run(installed / "p300", "--help", cwd=tmp_path).stdout
    assert run(installed / "p300", "--version", cwd=tmp_path).stdout == f"p300 {p300.__version__}\n"
    written = run(installed / "p300", "synth", "made", "--subjects", "1", cwd=tmp_path).stdout.split()
    assert written
    assert all((tmp_path / path).is_file() for path in written)


def test_every_module_is_importable(installed: Path, tmp_path: Path) -> None:
    code = """
import importlib, pkgutil
import p300, p300_pipeline, p300_cli, p300_client, p300_console
for package in (p300, p300_pipeline, p300_cli, p300_client, p300_console):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
from importlib.resources import files
assert files("p300").joinpath("py.typed").is_file()
assert all(files("p300.reporting").joinpath(f"page.{end}").is_file() for end in ("css", "html.jinja", "js"))
assert files("p300_console").joinpath("templates/base.html.jinja").is_file()
print(p300.__version__)
"""
    assert run(installed / "python", "-c", code, cwd=tmp_path).stdout == f"{p300.__version__}\n"


def test_deployment_needs_a_checkout(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "p300", "deploy", cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "checkout" in done.stderr
    assert "Traceback" not in done.stderr

"""The science knows nothing of the application around it: no AWS, no HTTP, no environment variables, no clients."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import p300
import pytest
from p300 import errors

PACKAGE = Path(p300.__file__).parent
BANNED = {
    "aiohttp", "aws_lambda_powertools", "awslambdaric", "aws_xray_sdk", "boto3", "botocore", "fastapi", "flask", "http", "httpx", "moto",
    "p300_cli", "p300_client", "p300_console", "p300_live", "p300_pipeline", "requests", "socket", "starlette", "typer", "urllib",
    "urllib3", "wandb",
}  # fmt: skip
OF_TEXT_ALONE = {"urllib.parse"}
"""What takes texts apart and asks nobody: BCI2000 writes its parameters as addresses are."""
ENVIRONMENT = {f"os.{name}" for name in ("environ", "environb", "getenv", "getenvb", "putenv", "unsetenv")}


def offences(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found = {alias.name for alias in names}
            case ast.ImportFrom(module=str(module), level=0, names=names):
                found = {module}
                if module in {"os", "posix"}:
                    found |= {f"os.{alias.name}" for alias in names}
            case ast.Call(func=ast.Name("import_module" | "__import__"), args=[ast.Constant(str(module)), *_]):
                found = {module}
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(str(module)), *_]):
                found = {module}
            case ast.Attribute(value=ast.Name("os" | "posix"), attr=attribute):
                found = {f"os.{attribute}"}
            case _:
                continue
        found -= OF_TEXT_ALONE
        yield from (name for name in found if name.partition(".")[0] in BANNED or name in ENVIRONMENT)


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_module_imports_nothing_of_the_application(file: Path) -> None:
    assert list(offences(file.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import boto3",
        "import numpy, urllib.request",
        "from p300_pipeline.documents import is_count",
        "def f():\n    from http.client import HTTPConnection",
        "import os\nhome = os.environ['HOME']",
        "import os\nhome = os.getenv('HOME')",
        "from os import environ as e",
        "from importlib import import_module\nimport_module('botocore.session')",
        "if TYPE_CHECKING:\n    import aws_lambda_powertools",
    ],
)
def test_an_offence_is_found(source: str) -> None:
    assert list(offences(source))


def test_paths_are_no_offence() -> None:
    assert not list(
        offences("import os.path\nfrom os import PathLike, fspath\nfrom p300.models import data\nfrom . import fir")
    )


def test_errors_are_value_errors_with_code_and_message_alone() -> None:
    family = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.P300Error)]
    assert issubclass(errors.P300Error, ValueError)
    assert {kind.__name__ for kind in family} >= {"P300Error", "RecordingError", "TrainingError", "ArtifactError"}
    for kind in family:
        assert list(inspect.signature(kind).parameters) == ["code", "message"]
        error = kind("no_targets", "There are none.")
        assert (error.code, error.message, str(error)) == ("no_targets", "There are none.", "There are none.")
        assert set(vars(error)) == {"code", "message"}


def test_any_module_can_be_imported_first() -> None:
    program = """
import importlib, pkgutil, sys
import p300
names = [module.name for module in pkgutil.walk_packages(p300.__path__, "p300.")]
for name in names:
    for known in [module for module in sys.modules if module.partition(".")[0] == "p300"]:
        del sys.modules[known]
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(name, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""

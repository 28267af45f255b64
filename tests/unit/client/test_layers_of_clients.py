"""What stands on what: the library knows neither command nor console, and the console does not know the command."""

import ast
from pathlib import Path

import pytest

from tests.support.paths import PROJECT

CLIENTS = PROJECT / "clients"
FORBIDDEN = {
    "p300_client": {"p300_cli", "p300_console", "typer", "click", "rich"},
    "p300_console": {"p300_cli", "typer", "click", "rich"},
}
ENDINGS = {"exit", "_exit", "quit", "SystemExit"}


def trees(package: str) -> list[tuple[Path, ast.AST]]:
    return [(path, ast.parse(path.read_text())) for path in sorted((CLIENTS / package).rglob("*.py"))]


def imported(tree: ast.AST) -> set[str]:
    """Return the packages that a module imports anywhere in it, lazily or for its types only, too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_arrows_point_down(package: str) -> None:
    modules = trees(package)
    assert len(modules) > 10
    assert {path.name: wrong for path, tree in modules if (wrong := imported(tree) & FORBIDDEN[package])} == {}


def test_the_library_never_prints_or_exits() -> None:
    found = [
        f"{path.name}:{node.lineno}"
        for path, tree in trees("p300_client")
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id in {"print", *ENDINGS})
        or (isinstance(node, ast.Attribute) and node.attr in {*ENDINGS, "stdout", "stderr", "argv"})
    ]
    assert found == []


def test_no_file_is_long() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in CLIENTS.rglob("*.py")}
    assert {path.name: n for path, n in lengths.items() if n > 400} == {}

"""The test suite itself: each test module stands alone, and what modules share is in tests/support."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import PROJECT

SUITES = (PROJECT / "tests", PROJECT / "emulator" / "process_executor" / "tests")
MODULES = sorted(path for suite in SUITES for path in suite.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, and every name that it imports from one as `module.name`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


def is_test_or_conftest(name: str) -> bool:
    return any(part == "conftest" or part.startswith("test_") for part in name.split("."))


def test_no_module_imports_a_conftest_or_a_test() -> None:
    wrong = {
        str(path.relative_to(PROJECT)): names
        for path in MODULES
        if (names := [name for name in imported(path) if is_test_or_conftest(name)])
    }
    assert wrong == {}, "move what is shared to tests/support"


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "emulator"])
def test_nothing_looks_for_data_beside_the_checkout(folder: str) -> None:
    wrong = [
        str(path.relative_to(PROJECT))
        for path in (PROJECT / folder).rglob("*.py")
        if path != Path(__file__) and re.search(r"/ \"shared\"|\.\./shared", path.read_text("utf-8"))
    ]
    assert wrong == [], "read P300_DATA (tests/support/real_data.py, benchmarks/real_data.py)"


def test_every_test_module_that_is_named_exists() -> None:
    """In the Makefile, the documents and the workflows; `make fuzz-api` named one that had moved."""
    naming = [PROJECT / name for name in ("Makefile", "README.md", "CONTRIBUTING.md", "SECURITY.md", ".ci/run")]
    naming += [*(PROJECT / "docs").glob("*.md"), *(PROJECT / ".github" / "workflows").glob("*.yml")]
    named = {name for path in naming for name in re.findall(r"\btests/[\w/]+\.py\b", path.read_text("utf-8"))}
    assert named
    assert [name for name in sorted(named) if not (PROJECT / name).is_file()] == []

"""The package's own description: its dependencies are what it imports, and its version is the code's."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import p300
import pytest
import yaml
from p300.errors import P300Error
from p300_cli.main import app
from p300_client import paths
from typer.testing import CliRunner

from tests.support.paths import PROJECT

PACKAGES = (
    "layers/p300/python/p300",
    "layers/pipeline/python/p300_pipeline",
    "clients/p300_cli",
    "clients/p300_client",
    "clients/p300_console",
)
OWN = {Path(package).name for package in PACKAGES}
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]


def normal(name: str) -> str:
    """Return a distribution's name as the packaging standard compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> set[str]:
    """Return the distributions of every module that the packages import, lazily or not; of types' stubs none."""
    modules = set()
    for path in (path for package in PACKAGES for path in (PROJECT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                modules.add(node.module.partition(".")[0])
    third_party = {name for name in modules - sys.stdlib_module_names - OWN if not name.startswith("mypy_boto3")}
    owners = packages_distributions()
    return {normal(owners[name][0]) for name in third_party}


def test_dependencies_are_what_is_imported() -> None:
    declared = {normal(re.split(r"[<>=\[]", requirement)[0]) for requirement in DECLARED["dependencies"]}
    implied = {"botocore"}  # boto3's other half, pinned by it
    indirect = {"python-multipart"}  # Starlette reads forms with it
    assert imported() - implied == declared - indirect


def test_each_package_is_typed() -> None:
    assert [package for package in PACKAGES if not (PROJECT / package / "py.typed").is_file()] == []


def test_version_is_printed() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"p300 {p300.__version__}\n")


def test_version_has_one_source() -> None:
    assert DECLARED["dynamic"] == ["version"]
    assert "version" not in DECLARED


def test_shell_completion_is_offered() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).output


def test_deployment_without_a_checkout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "IN_CHECKOUT", False)
    with pytest.raises(P300Error, match="make setup"):
        paths.require_checkout()


def test_citation_and_changelog_name_the_release() -> None:
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    released = re.findall(r"^## \[(.+)\] - (.+)$", (PROJECT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert released[0] == (p300.__version__, citation["date-released"])
    assert citation["version"] == p300.__version__

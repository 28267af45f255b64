"""Which code and libraries made features and models: results of other code are outdated, and can be reproduced only with that code.

The relevant code is found by following imports from the module that makes something. Comments, docstrings, layout and imports for type
checkers do not count, so only a change in what runs makes a difference.
``python -m p300_pipeline.provenance`` prints the digests.
"""

import ast
import hashlib
import importlib.util
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FEATURES, MODEL = "p300_pipeline.making.features", "p300_pipeline.making.model"
"""Modules that make features and models."""
PERSONAL = "p300_pipeline.making.personal"
"""Module that makes personal models of them."""
PACKAGES = ("p300", "p300_pipeline")
DISTRIBUTIONS = {"sklearn": "scikit-learn"}
"""Distribution of each package that has another name."""
_DIGEST_LENGTH = 32


@dataclass(frozen=True)
class Code:
    """The code that makes something.

    Attributes
    ----------
    digest : str
        Digest of all modules that the entry module reaches.
    libraries : dict of str to str
        Version of each imported library and of Python, by name.
    modules : tuple of str
        The modules, sorted.
    """

    digest: str
    libraries: dict[str, str]
    modules: tuple[str, ...]

    def stated(self) -> dict[str, Any]:
        """Return the fields for a manifest."""
        return {"code_digest": self.digest, "libraries": self.libraries}


@cache
def code_of(entry: str) -> Code:
    """Return the code that a module reaches through imports, at any depth and anywhere in a module.

    Parameters
    ----------
    entry : str
        Name of the module; `FEATURES`, `MODEL` or `PERSONAL`.

    Raises
    ------
    RuntimeError
        If the source of a module is missing, because the digest would be wrong.
    """
    trees: dict[str, ast.Module] = {}
    libraries: set[str] = set()
    waiting = _with_parents(entry)
    while waiting:
        name = waiting.pop()
        if name in trees:
            continue
        path = _source(name)
        if path is None:
            raise RuntimeError(
                f"The source of {name} is missing, but the digest of the code needs it. Build the layers again."
            )
        tree = trees[name] = _Running().visit(ast.parse(path.read_bytes(), path.name))
        for imported in _imports(tree, name, is_package=path.name == "__init__.py"):
            top = imported.partition(".")[0]
            if top in PACKAGES:
                waiting += [module for module in _with_parents(imported) if _source(module)]
            elif top not in sys.stdlib_module_names:
                libraries.add(top)
    digest = hashlib.sha256()
    for name in sorted(trees):
        digest.update(f"{name}\n{ast.dump(trees[name])}\n".encode())
    names = sorted(DISTRIBUTIONS.get(library, library) for library in libraries)
    versions = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in names:
        with suppress(PackageNotFoundError):  # a layer holds only what its functions run
            versions[name] = version(name)
    return Code(digest.hexdigest()[:_DIGEST_LENGTH], versions, tuple(sorted(trees)))


def other_code(stated: Mapping[str, Any], digest: str) -> str | None:
    """Say that something was made by code with another digest, or does not state its code; None otherwise.

    Parameters
    ----------
    stated : mapping
        Metadata of a file or a manifest; only ``code_digest`` is used.
    digest : str
        Digest of the present code.
    """
    found = stated.get("code_digest")
    if found == digest:
        return None
    return (
        f"made by code {short(found)}; expected code {short(digest)}"
        if found
        else f"does not say which code made it; expected code {short(digest)}"
    )


def short(digest: object) -> str:
    """Return the part of a digest that is displayed."""
    return str(digest)[:12]


def in_words(libraries: Mapping[str, str]) -> str:
    """Return versions as one line."""
    return ", ".join(f"{name} {one}" for name, one in sorted(libraries.items()))


def machine() -> dict[str, str]:
    """Describe this machine; the same code may round differently on another one."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {"system": platform.system(), "machine": platform.machine(), "cpu": next(names, platform.processor())}


class _Running(ast.NodeTransformer):
    """Keeps only the parts of a module that have an effect when it runs."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Leave docstrings out."""
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node

    def visit_If(self, node: ast.If) -> Any:
        """Leave out what only type checkers read."""
        test = node.test
        if isinstance(test, ast.Name) and test.id == "TYPE_CHECKING":
            return [self.visit(one) for one in node.orelse]
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.Assign | None:
        """Leave out the version: a release that changes nothing else gives the same results."""
        names = {target.id for target in node.targets if isinstance(target, ast.Name)}
        return None if names == {"__version__"} else node


def _imports(tree: ast.Module, name: str, *, is_package: bool) -> Iterator[str]:
    """Yield what a module imports, by absolute name; of ``from a import b`` both ``a`` and ``a.b``, which may be a module."""
    package = name if is_package else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            found = ".".join([*base, *([node.module] if node.module else [])])
            yield found
            yield from (f"{found}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Name | ast.Attribute) and "import_module" in {
            getattr(node, "id", ""),
            getattr(node, "attr", ""),
        }:
            # Which module is known when it runs; here they are always the package's own.
            yield from _inside(package)


def _inside(package: str) -> Iterator[str]:
    source = _source(package)
    if source and source.name == "__init__.py":
        for path in source.parent.rglob("*.py"):
            parts = path.relative_to(source.parent).with_suffix("").parts
            yield ".".join([package, *(parts[:-1] if parts[-1] == "__init__" else parts)])


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: n + 1]) for n in range(len(parts))]


@cache
def _source(name: str) -> Path | None:
    """Return the path of a module's source; None where the name is not a module."""
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]).joinpath(*rest)
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


if __name__ == "__main__":
    for _entry in (FEATURES, MODEL):
        sys.stdout.write(f"{_entry.rpartition('.')[2]} {code_of(_entry).digest}\n")

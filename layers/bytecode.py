"""Compile the modules of a layer; `build.py` runs this in several processes, in the folder that holds them.

Run as `python -S -s bytecode.py source|bare [PATTERN ...]` with relative paths on standard input, a line each. ``bare`` replaces the
sources; modules that match a pattern lose their docstrings.
"""

import ast
import fnmatch
import gc
import importlib.util
import marshal
import sys
from pathlib import Path

UNCHECKED_HASH = 0b01  # the bytecode names its source's hash, and is never checked against the source
_Documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def without_docstrings(source: bytes, name: str) -> ast.Module:
    """Parse a module and take the docstrings out of it, of its classes and of its functions."""
    module = ast.parse(source, name)
    blocks: list[ast.AST] = [module]
    while blocks:
        block = blocks.pop()
        if isinstance(block, _Documented) and ast.get_docstring(block, clean=False) is not None:
            block.body = block.body[1:] or [ast.Pass(lineno=1, col_offset=0, end_lineno=1, end_col_offset=0)]
        for field in ("body", "orelse", "handlers", "finalbody", "cases"):  # only statements hold definitions
            inner = getattr(block, field, None)
            blocks += inner if isinstance(inner, list) else ()
    return module


def compile_module(name: str, *, keep_source: bool, bare: bool) -> None:
    """Write the bytecode of one module, as Lambda will find it below /opt/python."""
    path = Path(name)
    source = path.read_bytes()
    module = without_docstrings(source, name) if bare else source
    code = compile(module, f"/opt/python/{name}", "exec", dont_inherit=True, optimize=0)
    header = importlib.util.MAGIC_NUMBER + UNCHECKED_HASH.to_bytes(4, "little") + importlib.util.source_hash(source)
    target = Path(importlib.util.cache_from_source(name)) if keep_source else path.with_suffix(".pyc")
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(header + marshal.dumps(code))
    if not keep_source:
        path.unlink()


def main() -> None:
    """Compile what standard input names."""
    gc.disable()  # syntax trees hold no cycles, and looking for some takes longer than all else here
    kind, *patterns = sys.argv[1:]
    for name in sys.stdin.read().splitlines():
        bare = any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        compile_module(name, keep_source=kind == "source", bare=bare)


if __name__ == "__main__":
    main()

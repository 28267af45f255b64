"""The environment variables of a function's process: those that Lambda sets, but with local directories."""

import os
from collections.abc import Mapping
from pathlib import Path


def function_environment(
    given: Mapping[str, str],
    *,
    runtime: str,
    python: Path,
    task_root: Path,
    opt: Path | None,
    tmp: Path,
    bytecode: Path,
) -> dict[str, str]:
    """Complete the variables from LocalStack and the function's configuration.

    Nothing of LocalStack's own environment is passed on.

    Parameters
    ----------
    given
        LocalStack's variables, overridden by the function's own.
    runtime
        For example `python3.13`.
    python
        The function's interpreter.
    task_root, opt, tmp
        Stand-ins for /var/task, /opt (None without layers) and /tmp.
    bytecode
        Where Python keeps the bytecode that it compiles.
    """
    opt_python = [opt / "python", opt / "python" / "lib" / runtime / "site-packages"] if opt else []
    defaults = {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": _path(python.parent, "/usr/local/bin", "/usr/bin", "/bin", *([opt / "bin"] if opt else [])),
        "LD_LIBRARY_PATH": _path(task_root, task_root / "lib", *([opt / "lib"] if opt else [])),
        "HOME": str(tmp),
        "PYTHONPYCACHEPREFIX": str(bytecode),
        "TMPDIR": str(tmp),
    }
    return {
        **defaults,
        **{name: str(value) for name, value in given.items()},
        "PYTHONPATH": _path(task_root, *opt_python, *filter(None, [given.get("PYTHONPATH")])),
        "LAMBDA_TASK_ROOT": str(task_root),
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
    }


def _path(*directories: Path | str) -> str:
    return os.pathsep.join(map(str, directories))

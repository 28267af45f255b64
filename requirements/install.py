"""Make one Python environment from its hashed lock: `python3 install.py <stamp> <environment> <lock> [<project>]`, run by the Makefile.

One at a time, and safe to interrupt: the stamp is written last, with the checkout's path in it, because an environment works nowhere else.
Needs Python 3.8 and nothing that is installed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path.cwd()
ENVIRONMENTS = HERE / ".envs"
OWN_UV = ENVIRONMENTS / "uv"
BUILD_LOCK = "requirements/build.txt"  # packages without a wheel, and the project itself, are built with these
UV_LOCK = "requirements/uv.txt"


def main(stamp: Path, environment: str, lock: str, project: str | None = None) -> None:
    """Install what the lock holds, nothing else, and the project as editable."""
    scratch = ENVIRONMENTS / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(scratch)  # /tmp may be small
    if not home_is_writable():
        os.environ.setdefault("UV_CACHE_DIR", str(ENVIRONMENTS / "cache"))
        os.environ.setdefault("UV_PYTHON_INSTALL_DIR", str(ENVIRONMENTS / "python"))
    with (ENVIRONMENTS / "lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another `make` is setting up this checkout: waiting until it has finished", flush=True)
            began = time.time()
            fcntl.flock(held, fcntl.LOCK_EX)
            if stamp.exists() and stamp.stat().st_mtime > began:
                return
        uv = shutil.which("uv") or own_uv()
        print(f"setting up {environment}", flush=True)
        if not stamp.exists():  # unfinished, or made elsewhere: nothing in it can be relied on
            version = Path(".python-version").read_text(encoding="utf-8").strip()
            run(uv, "venv", "--quiet", "--clear", "--python", version, environment)
        into = ["--quiet", "--python", f"{environment}/bin/python", "--build-constraints", BUILD_LOCK]
        run(uv, "pip", "sync", *into, "--require-hashes", lock)
        if project:
            run(uv, "pip", "install", *into, "--no-deps", "--editable", project)
        finished = scratch / stamp.name
        finished.write_text(f"{HERE}\n", encoding="utf-8")
        finished.replace(stamp)


def home_is_writable() -> bool:
    """Return whether uv can keep its cache where it does by default."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "uv"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(cache, os.W_OK)


def own_uv() -> str:
    """Return the checkout's own uv, from its hashed lock; installing it takes a Python with `venv` and `pip`."""
    uv = OWN_UV / "bin" / "uv"
    if not uv.exists() or uv.stat().st_mtime < Path(UV_LOCK).stat().st_mtime:
        print(f"uv is missing: installing it into {OWN_UV.relative_to(HERE)}", flush=True)
        new = OWN_UV.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        run(sys.executable, "-m", "venv", str(new))
        pip = [f"{new}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run(*pip, "--require-hashes", "--only-binary", ":all:", "-r", UV_LOCK)
        os.utime(new / "bin" / "uv")
        shutil.rmtree(OWN_UV, ignore_errors=True)
        new.rename(OWN_UV)
    return str(uv)


def run(*command: str) -> None:
    """Run a command; end with one line where it fails."""
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(f"set-up failed: `{' '.join(command)}` ended with exit code {code}; its own words are above.")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C needs no traceback: the next run starts this environment over
    try:
        main(Path(sys.argv[1]), *sys.argv[2:])
    except OSError as error:
        sys.exit(f"set-up failed: {error.filename or HERE}: {error.strerror}")

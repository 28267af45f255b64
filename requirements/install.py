"""Make one Python environment from its hashed lock: `python3 install.py <stamp> <environment> <lock> [<project>]`, run by the Makefile.

One at a time, and safe to interrupt: the stamp is written last, with the checkout's path in it, because an environment works nowhere else.
Runs on any Python 3, before anything is installed.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time

HERE = os.getcwd()
OWN_UV = ".envs/uv"
BUILD_LOCK = "requirements/build.txt"  # what packages without a wheel are built with


def main(stamp, environment, lock, project=None):
    """Install what the lock holds, exactly, and the project itself as editable."""
    os.makedirs(".envs/tmp", exist_ok=True)
    # A small or shared /tmp is left alone, and so is a home that cannot be written.
    os.environ["TMPDIR"] = os.path.join(HERE, ".envs", "tmp")
    if not home_cache_is_writable():
        os.environ.setdefault("UV_CACHE_DIR", os.path.join(HERE, ".envs", "cache"))
        os.environ.setdefault("UV_PYTHON_INSTALL_DIR", os.path.join(HERE, ".envs", "python"))
    with open(".envs/lock", "w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("another `make` is setting up this checkout: waiting until it has finished", flush=True)
            began = time.time()
            fcntl.flock(held, fcntl.LOCK_EX)
            if os.path.exists(stamp) and os.path.getmtime(stamp) > began:
                return
        uv = shutil.which("uv") or own_uv()
        print("setting up " + environment, flush=True)
        if not os.path.exists(stamp):  # unfinished, or made elsewhere: nothing in it can be relied on
            run(uv, "venv", "--quiet", "--clear", "--python", open(".python-version").read().strip(), environment)
        python = os.path.join(environment, "bin", "python")
        build = ["--build-constraints", BUILD_LOCK]
        run(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, *build, lock)
        if project:
            run(uv, "pip", "install", "--quiet", "--python", python, "--no-deps", *build, "--editable", project)
        with open(stamp + ".new", "w") as file:
            file.write(HERE + "\n")
        os.replace(stamp + ".new", stamp)


def home_cache_is_writable():
    """Whether uv can keep its cache where it does by default."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    try:
        os.makedirs(os.path.join(cache, "uv"), exist_ok=True)
    except OSError:
        return False
    return os.access(os.path.join(cache, "uv"), os.W_OK)


def own_uv():
    """Return a uv of the checkout's own, from its hashed lock; the Python that runs this needs `venv` and `pip` for that."""
    uv = os.path.join(OWN_UV, "bin", "uv")
    if not os.path.exists(uv) or os.path.getmtime(uv) < os.path.getmtime("requirements/uv.txt"):
        print("uv is missing: installing it into " + OWN_UV, flush=True)
        shutil.rmtree(OWN_UV + ".new", ignore_errors=True)
        run(sys.executable, "-m", "venv", OWN_UV + ".new")
        pip = [OWN_UV + ".new/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run(*pip, "--require-hashes", "--only-binary", ":all:", "-r", "requirements/uv.txt")
        os.utime(OWN_UV + ".new/bin/uv")
        shutil.rmtree(OWN_UV, ignore_errors=True)
        os.rename(OWN_UV + ".new", OWN_UV)
    return os.path.join(HERE, uv)


def run(*command):
    """Run a command; end with its exit code where it fails."""
    if code := subprocess.call(command):
        sys.exit("set-up failed: `%s` ended with exit code %d, see above." % (" ".join(command), code))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C needs no traceback: the next run goes on from here
    try:
        main(*sys.argv[1:])
    except OSError as error:
        sys.exit("set-up failed: %s: %s" % (error.filename or HERE, error.strerror))

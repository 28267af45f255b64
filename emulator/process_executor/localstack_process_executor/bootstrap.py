"""The first code in a function's process: drops rights that a function does not need, and starts AWS's runtime client.

The functions' interpreter runs this file by its path. It has none of the packages of LocalStack's environment, so
nothing but the standard library is imported here.
"""

import ctypes
import json
import os
import resource
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

CONFINEMENT_VARIABLE = "_LAMBDA_PROCESS_CONFINEMENT"
_MAX_OPEN_FILES = 1024  # Lambda's
_BACKGROUND_NICE = 10

_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION, _CAPABILITY_BYTES = 0x20080522, 24
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on all architectures
_VERSION_FLAG, _RULE_PATH_BENEATH = 1, 1
# https://docs.kernel.org/userspace-api/landlock.html#filesystem-flags
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NEWEST_RIGHTS = 16
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15  # the last two: truncate, ioctl
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1 << 0, 1 << 1

_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/proc", "/sys", "/nix/store",
    "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
    "/run/systemd/resolve", "/run/resolvconf", "/var/lib/ca-certificates",
)  # fmt: skip
"""What programs read: themselves, libraries, settings, certificates, fonts, time zones; no home folders."""


def landlock_version() -> int:
    """Return the version of Landlock that the kernel offers; 0 if it has none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))))


def confine(
    read: Iterable[str], write: Iterable[str], *, max_file_bytes: int, landlock: bool, background: bool
) -> None:
    """Restrict the rights of this process and of all that it starts.

    Parameters
    ----------
    read
        Files and folders that it may read, besides the system's and the interpreter's own.
    write
        Folders that it may write to.
    max_file_bytes
        Largest size of a file that it writes.
    landlock
        Whether the kernel enforces `read` and `write`.
    background
        Whether other processes take precedence if cores are short.
    """
    os.umask(0o077)
    if background:
        os.nice(_BACKGROUND_NICE)
    _limit(resource.RLIMIT_CORE, 0)  # a core file would hold data and keys
    _limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)
    _limit(resource.RLIMIT_FSIZE, max_file_bytes)
    if sys.platform == "linux":
        _check(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        # If LocalStack runs as root, so do its functions, but without root's capabilities.
        _check(_libc().capset(struct.pack("Ii", _CAPABILITY_VERSION, 0), bytes(_CAPABILITY_BYTES)))
    if landlock:
        own = (sys.prefix, sys.base_prefix, os.path.realpath(sys.executable), __file__)
        _restrict_files((*_SYSTEM, *own, *read), (*write, "/dev/null"))


def use_secret_path() -> None:
    """Let the Python part of the runtime client find the Runtime API below its secret path.

    The C++ part takes the path from AWS_LAMBDA_RUNTIME_API as it is.
    """
    from awslambdaric.lambda_runtime_client import BaseLambdaRuntimeClient

    call = BaseLambdaRuntimeClient.call_rapid

    def call_below(client: BaseLambdaRuntimeClient, method: str, endpoint: str, *rest: object, **named: object) -> None:
        host, _, secret = os.environ["AWS_LAMBDA_RUNTIME_API"].partition("/")
        client.lambda_runtime_address = host
        call(client, method, f"/{secret}{endpoint}", *rest, **named)

    BaseLambdaRuntimeClient.call_rapid = call_below


def _restrict_files(read: Iterable[str], write: Iterable[str]) -> None:
    version = landlock_version()
    handled = (1 << _RIGHTS_BY_VERSION.get(version, _NEWEST_RIGHTS)) - 1
    scopes = _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS if version >= 6 else 0
    attributes = struct.pack("QQQ", handled, 0, scopes)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = _check(_libc().syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0)))
    for rights, paths in ((_READ, read), (handled, write)):
        for path in paths:
            try:
                beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            allowed = rights if Path(path).is_dir() else rights & _OF_FILES
            rule = struct.pack("=Qi", allowed & handled, beneath)
            _check(_libc().syscall(_ADD_RULE, rules, _RULE_PATH_BENEATH, rule, ctypes.c_uint32(0)))
            os.close(beneath)
    _check(_libc().syscall(_RESTRICT_SELF, rules, ctypes.c_uint32(0)))
    os.close(rules)


def _limit(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (allowed, allowed))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot confine the function: {os.strerror(code)}")
    return result


if __name__ == "__main__":
    confine(**json.loads(os.environ.pop(CONFINEMENT_VARIABLE)))
    use_secret_path()
    from awslambdaric.__main__ import main

    main(sys.argv)

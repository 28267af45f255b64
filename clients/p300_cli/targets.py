"""The target of a command, which says on its first line where it is."""

from functools import cache

from p300_client import credential
from p300_client.target import Target, choose, require_local

from p300_cli.terminal import note


@cache
def current() -> Target:
    """Return the target that the environment names, and say which it is."""
    target = choose()
    note(f"target: {target}")
    if target.endpoint and (problem := credential.mismatch(target.endpoint)):
        note(problem)
    return target


def local() -> Target:
    """Return the target, which has to be LocalStack on this machine."""
    target = current()
    require_local(target)
    return target

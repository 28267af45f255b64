"""The target of a command, which says on its first line where it is."""

import os
from functools import cache

from p300_client import credential
from p300_client.target import Target, choose, require_local

from p300_cli.terminal import note


def announced() -> Target:
    """Return the target that the environment names, and say which it is."""
    target = choose()
    profile = os.environ.get("AWS_PROFILE")
    note(f"target: {target}{f', profile {profile}' if profile else ''}")
    return target


@cache
def current() -> Target:
    """Return the target of this command, and say which it is, and what exported keys are not this stack's."""
    target = announced()
    if target.endpoint and (problem := credential.mismatch(target.endpoint)):
        note(problem)
    return target


def local() -> Target:
    """Return the target, which has to be LocalStack on this machine."""
    target = current()
    require_local(target)
    return target

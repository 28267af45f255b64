"""Replaces parts of LocalStack, after checking that they are the ones that the replacement was written for.

If a release renamed a function, the replacement would have no effect, and nobody would notice until an execution hangs
or a socket is open. So each replacement names what it expects, and LocalStack does not start without it.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from localstack import constants

RELEASE = "4.14"
_ADVICE = f'Install "localstack-core[base-runtime,runtime]>={RELEASE},<4.15".'


class RepairError(RuntimeError):
    """The plugin was not written for this LocalStack."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"localstack-process-executor is written for LocalStack {RELEASE} and cannot change this LocalStack "
            f"{constants.VERSION}: {found}. {_ADVICE}"
        )


def check_release() -> None:
    """Check that LocalStack's version is the one that the plugin was written for.

    Raises
    ------
    RepairError
        If it is another release.
    """
    if constants.VERSION.split(".")[:2] != RELEASE.split("."):
        raise RepairError(f"expected a version {RELEASE}.x")


def original(owner: object, name: str, *, parameters: Sequence[str] | None = None) -> Any:  # noqa: ANN401
    """Return a part of LocalStack that is about to be replaced or extended.

    Parameters
    ----------
    owner : module or class
        Where it is defined.
    name : str
        Name of the attribute.
    parameters : sequence of str, optional
        Names of the parameters that it must take, if it is a function.

    Raises
    ------
    RepairError
        If there is no such attribute, or it takes other parameters.
    """
    place = f"{getattr(owner, '__module__', '')}.".lstrip(".") + getattr(owner, "__name__", repr(owner))
    try:
        found = getattr(owner, name)
    except AttributeError:
        raise RepairError(f"{place} has no attribute {name}") from None
    if parameters is not None and (takes := list(inspect.signature(found).parameters)) != list(parameters):
        raise RepairError(f"{place}.{name} takes {', '.join(takes)}; expected {', '.join(parameters)}")
    return found


def replace(
    owner: object, name: str, make: Callable[[Any], object], *, parameters: Sequence[str] | None = None
) -> None:
    """Replace a part of LocalStack with what `make` returns for the original; raises as `original` does."""
    setattr(owner, name, make(original(owner, name, parameters=parameters)))

"""What LocalStack runs when it starts, through the package's entry points.

Separate from `plugin`: a LocalStack release that moves its Lambda plugins could not load that module, and LocalStack
would only log this and start without the guard.
"""

from localstack import config
from localstack.runtime import get_current_runtime, hooks
from localstack.runtime.exceptions import LocalstackExit

_IS_CHOSEN = config.LAMBDA_RUNTIME_EXECUTOR == "process"


@hooks.on_infra_start(should_load=_IS_CHOSEN, priority=1000)  # type: ignore[untyped-decorator]
def install_hooks() -> None:
    """Install the changes to LocalStack other than the executor; each module says what it changes, and why.

    Raises
    ------
    LocalstackExit
        If the changes were written for another release of LocalStack, or a setting is invalid.
    """
    from .repairs import RepairError, check_release
    from .settings import SettingsError

    try:
        check_release()
        _install()
    except (RepairError, SettingsError) as error:
        raise LocalstackExit(code=1, reason=str(error)) from error
    except ImportError as error:
        raise LocalstackExit(code=1, reason=str(RepairError(str(error)))) from error


def _install() -> None:
    from . import concurrency, failed_updates, parsing, payload_limits, sam_references, storage_folder, threads
    from .gateway import installation
    from .settings import settings

    installation.install()
    for module in (failed_updates, parsing, payload_limits, sam_references, storage_folder, threads):
        module.install()
    if limit := settings().max_environments:
        concurrency.install(limit)


@hooks.on_infra_ready(should_load=_IS_CHOSEN)  # type: ignore[untyped-decorator]
def check_sockets() -> None:
    """Stop LocalStack if another machine can reach it."""
    from .gateway import listening

    try:
        listening.check()
    except LocalstackExit as exit_:
        print(f"ERROR: {exit_}", flush=True)  # noqa: T201 -- LocalStack prints its reasons for stopping, too
        get_current_runtime().exit(exit_.code)
        raise

"""What LocalStack loads through the package's entry points."""

from typing import TYPE_CHECKING

from localstack import config
from localstack.runtime import get_current_runtime, hooks
from localstack.runtime.exceptions import LocalstackExit
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin

if TYPE_CHECKING:
    from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

_IS_CHOSEN = config.LAMBDA_RUNTIME_EXECUTOR == "process"


class ProcessRuntimeExecutorPlugin(RuntimeExecutorPlugin):
    """Chosen by LAMBDA_RUNTIME_EXECUTOR=process."""

    name = "process"

    def load(self, *_args: object, **_kwargs: object) -> "type[RuntimeExecutor]":
        from .executor import ProcessRuntimeExecutor

        return ProcessRuntimeExecutor


@hooks.on_infra_start(should_load=_IS_CHOSEN, priority=1000)  # type: ignore[untyped-decorator]
def install_hooks() -> None:
    """Change what LocalStack does beyond the executor: each module says what, and why."""
    from . import concurrency, failed_updates, parsing, payload_limits, sam_references, storage_folder, threads
    from .gateway import installation
    from .settings import SettingsError, settings

    try:
        installation.install()
    except SettingsError as error:
        raise LocalstackExit(code=1, reason=str(error)) from error
    for module in (failed_updates, parsing, payload_limits, sam_references, storage_folder, threads):
        module.install()
    if limit := settings().max_environments:
        concurrency.install(limit)


@hooks.on_infra_ready(should_load=_IS_CHOSEN)  # type: ignore[untyped-decorator]
def check_sockets() -> None:
    """End LocalStack if another machine can reach it."""
    from .gateway import listening

    try:
        listening.check()
    except LocalstackExit as exit_:
        print(f"ERROR: {exit_}", flush=True)  # noqa: T201 -- as LocalStack tells why it ends
        get_current_runtime().exit(exit_.code)
        raise

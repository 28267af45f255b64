"""What LocalStack loads through the package's entry points."""

from typing import TYPE_CHECKING

from localstack import config
from localstack.runtime import hooks
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


@hooks.on_infra_start(should_load=_IS_CHOSEN)  # type: ignore[untyped-decorator]
def install_hooks() -> None:
    """Change what LocalStack does beyond the executor: each module says what, and why."""
    from . import concurrency, failed_updates, parsing, payload_limits, sam_references, storage_folder, threads
    from .settings import settings

    for module in (failed_updates, parsing, payload_limits, sam_references, storage_folder, threads):
        module.install()
    if limit := settings().max_environments:
        concurrency.install(limit)

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
def install_payload_limits() -> None:
    from .payload_limits import install

    install()


@hooks.on_infra_start(should_load=_IS_CHOSEN)  # type: ignore[untyped-decorator]
def install_sam_references() -> None:
    from .sam_references import install

    install()


@hooks.on_infra_start(should_load=_IS_CHOSEN)  # type: ignore[untyped-decorator]
def install_parsing() -> None:
    from .parsing import install

    install()


@hooks.on_infra_start(should_load=_IS_CHOSEN)  # type: ignore[untyped-decorator]
def install_threads() -> None:
    from .threads import install

    install()


@hooks.on_infra_start(should_load=_IS_CHOSEN)  # type: ignore[untyped-decorator]
def install_concurrency_limit() -> None:
    from .concurrency import install
    from .settings import settings

    if limit := settings().max_environments:
        install(limit)

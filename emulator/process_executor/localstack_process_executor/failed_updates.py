"""Keeps track of a stack's resources when an update fails.

LocalStack would then know only the resources that the update reached: deleting the stack would leave the others
behind, and their names would be taken when the stack is created again.
"""

import functools

from localstack.services.cloudformation.engine.v2.change_set_model_executor import (
    ChangeSetModelExecutor,
    ChangeSetModelExecutorResult,
)

from . import repairs


def install() -> None:
    """Add the earlier resources to the outcome of a failed change."""
    execute = repairs.original(ChangeSetModelExecutor, "execute", parameters=("self",))

    @functools.wraps(execute)
    def execute_and_keep(executor: ChangeSetModelExecutor) -> ChangeSetModelExecutorResult:
        before = dict(executor._change_set.stack.resolved_resources)
        result: ChangeSetModelExecutorResult = execute(executor)
        if result.failure_message:
            made = {name: one for name, one in result.resources.items() if one.get("PhysicalResourceId")}
            result.resources = before | made
        return result

    repairs.replace(ChangeSetModelExecutor, "execute", lambda _usual: execute_and_keep)

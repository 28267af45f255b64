"""Lets Step Functions parse each definition and each JSON path once.

LocalStack's engine parses a state machine's definition for every execution, and builds a new parser for a path whenever
a state reads its input (13 ms each time). Besides, the definition's parse tree is full of reference cycles, which the
garbage collector has to break up while nothing else runs.
"""

import functools

from localstack.services.stepfunctions.asl.component.common.path import result_path
from localstack.services.stepfunctions.asl.component.eval_component import EvalComponent
from localstack.services.stepfunctions.asl.parse.asl_parser import AmazonStateLanguageParser
from localstack.services.stepfunctions.asl.utils import json_path
from localstack.services.stepfunctions.backend.execution_worker import ExecutionWorker

from . import repairs


@functools.lru_cache(maxsize=128)
def program(definition: str) -> EvalComponent:
    """Return a parsed definition. Executions keep their state elsewhere, so any number can share it."""
    component, _tree = AmazonStateLanguageParser.parse(definition)
    return component


def _entry_point(worker: ExecutionWorker) -> EvalComponent:
    return program(worker._evaluation_details.state_machine_details.definition)


def install() -> None:
    """Return a parsed expression; it holds none of the data that it is applied to, so it can be shared."""
    for module in (json_path, result_path):
        repairs.replace(module, "parse", functools.lru_cache(maxsize=4096))
    repairs.replace(ExecutionWorker, "_get_evaluation_entrypoint", lambda _usual: _entry_point, parameters=("self",))

"""Lets Step Functions parse each definition and each JSON path once.

LocalStack's engine parses a state machine's definition for every execution, and builds a path's parser anew whenever a
state looks at its input (13 ms each time). The definition's parse tree is a heap of cycles besides, which the garbage
collector has to take apart while nothing else runs.
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
    """Return what a definition comes to. An execution keeps its state elsewhere: any number can share it."""
    component, _tree = AmazonStateLanguageParser.parse(definition)
    return component


def _entry_point(worker: ExecutionWorker) -> EvalComponent:
    return program(worker._evaluation_details.state_machine_details.definition)


def install() -> None:
    """Remember what was parsed: an expression holds nothing of the data that it is applied to."""
    for module in (json_path, result_path):
        repairs.replace(module, "parse", functools.lru_cache(maxsize=4096))
    repairs.replace(ExecutionWorker, "_get_evaluation_entrypoint", lambda _usual: _entry_point, parameters=("self",))

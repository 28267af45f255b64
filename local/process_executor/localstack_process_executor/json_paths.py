"""Lets Step Functions read each JSON path once.

LocalStack's engine builds the path's parser anew whenever a state looks at its input, which takes 13 ms each time and
most of an execution's own time.
"""

import functools

from localstack.services.stepfunctions.asl.utils import json_path


def install() -> None:
    """Remember what was parsed: an expression holds nothing of the data that it is applied to."""
    json_path.parse = functools.lru_cache(maxsize=4096)(json_path.parse)

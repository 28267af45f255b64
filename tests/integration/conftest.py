"""A real LocalStack of the suite's own, on a port and with a stack that no running `make run` uses."""

from collections.abc import Iterator

import pytest

from tests.support.localstack import Stack, running_stack
from tests.support.recordings import recording


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A stack with nothing in it, gone after the suite."""
    with running_stack() as found:
        yield found


@pytest.fixture
def champion(stack: Stack) -> Iterator[str]:
    """The champion, and recordings to train on; two people's where there are none, gone afterwards: other modules count theirs."""
    people = ("subject_95", "subject_96")
    without_champion = "aliases/champion" not in stack.keys(stack.models, "aliases/")
    if landed := without_champion or not stack.keys(stack.features, "subject_"):
        stack.land(*[(f"{name}/run_01.parquet", recording(95 + number)) for number, name in enumerate(people)])
    if without_champion:
        assert stack.execute({"model": "lda"}).status == "SUCCEEDED"
    yield stack.s3.get_object(Bucket=stack.models, Key="aliases/champion")["Body"].read().decode()
    for name in people if landed else ():
        stack.forget(f"{name}/")

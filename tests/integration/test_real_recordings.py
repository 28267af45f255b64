"""The main job on real recordings, where they are."""

from collections.abc import Iterator

import pytest
from p300_client.landing import find

from tests.support.localstack import Stack, failures
from tests.support.real_data import recordings

pytestmark = [pytest.mark.localstack, pytest.mark.real_data]
SUBJECTS = ("subject_08", "subject_09")


@pytest.fixture
def alone(stack: Stack) -> Iterator[None]:
    """Begin with nothing: a champion of other channels would leave these out. They are gone afterwards: other modules count theirs."""
    stack.empty()
    yield
    for subject in SUBJECTS:
        stack.forget(f"{subject}/")


@pytest.mark.usefixtures("alone")
def test_two_people_of_bnci_2015_003(stack: Stack) -> None:
    uploads = [upload for upload in find(recordings("bnci_2015_003")) if upload.key.startswith(SUBJECTS)]
    executions = stack.land(*[(upload.key, upload.path.read_bytes()) for upload in uploads])
    assert not failures(executions)
    for upload in uploads:
        output = executions[upload.key].output
        facts = output["recording"] if output["outcome"] == "features" else {"n_flashes": 900, "n_kept": 900}
        assert facts["n_flashes"] == 900
        assert facts["n_kept"] > 800

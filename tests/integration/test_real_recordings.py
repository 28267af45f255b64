"""The main job on real recordings, where they are."""

import pytest
from p300_cli.landing import find

from tests.support.localstack import Stack
from tests.support.real_data import recordings

pytestmark = [pytest.mark.localstack, pytest.mark.real_data]


def test_two_people_of_bnci_2015_003(stack: Stack) -> None:
    uploads = [
        upload for upload in find(recordings("bnci_2015_003")) if upload.key.startswith(("subject_08", "subject_09"))
    ]
    executions = stack.land(*[(upload.key, upload.path.read_bytes()) for upload in uploads])
    assert {execution.status for execution in executions.values()} == {"SUCCEEDED"}
    for upload in uploads:
        output = executions[upload.key].output
        facts = output["recording"] if output["outcome"] == "features" else {"n_flashes": 900, "n_kept": 900}
        assert facts["n_flashes"] == 900
        assert facts["n_kept"] > 800

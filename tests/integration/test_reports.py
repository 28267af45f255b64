"""The report that every landed recording gets, on the real services."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.localstack import Stack, run_p300, wait_for
from tests.support.recordings import recording

pytestmark = pytest.mark.localstack
NAME = "subject_70/run_01"


@pytest.fixture(scope="module")
def landed(stack: Stack) -> Iterator[Stack]:
    """The stack with one recording more, which is gone afterwards: other modules count theirs."""
    executions = stack.land((f"{NAME}.parquet", recording(70, n_channels=8)))
    assert executions[f"{NAME}.parquet"].status == "SUCCEEDED"
    yield stack
    stack.forget("subject_70/")


def test_picture_and_page_stand_beside_the_features(landed: Stack) -> None:
    wanted = {f"{NAME}/{name}" for name in ("features.parquet", "report.json", "erp.png", "report.html")}

    def drawn() -> bool | None:
        return set(landed.keys(landed.features, f"{NAME}/")) >= wanted or None

    assert wait_for(drawn, f"report of {NAME}")
    picture = landed.s3.get_object(Bucket=landed.features, Key=f"{NAME}/erp.png")
    assert picture["Body"].read().startswith(b"\x89PNG")
    features = landed.s3.head_object(Bucket=landed.features, Key=f"{NAME}/features.parquet")
    assert picture["Metadata"] == features["Metadata"]


def test_the_command_fetches_it(landed: Stack) -> None:
    printed = run_p300("report", "subject_70", "--no-open").stdout.splitlines()
    assert len(printed) == 1  # the verdict goes to stderr
    page = Path(printed[0]).read_text()
    assert NAME in page
    assert "Single-flash AUC" in page
    missing = run_p300("report", "subject_99", "--no-open", check=False)
    assert missing.returncode == 1
    assert "no features of subject_99" in " ".join(missing.stderr.split())

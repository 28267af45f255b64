"""What a person does when something went wrong, on the real services: `p300 retry`, `p300 quarantine`, docs/operations.md."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from p300_client.api import Api

from tests.support.localstack import Stack, run_p300, run_shell, shell_blocks
from tests.support.paths import PROJECT
from tests.support.recordings import NO_RECORDINGS, recording

pytestmark = pytest.mark.localstack


def waiting(stack: Stack) -> dict[str, dict[str, str]]:
    return {one["name"]: one for one in json.loads(run_p300("retry", "--list", "--json").stdout)}


def test_retry_starts_what_failed_again_when_it_can_work(stack: Stack) -> None:
    execution = stack.execute({"subjects": ["subject_90", "subject_91"]})
    assert execution.status == "FAILED"
    name = execution.arn.rpartition(":")[2]
    told = waiting(stack)[name]
    assert "subject_90" in told["error"]
    assert told["left_because"]
    for number in (90, 91):
        stack.land((f"subject_{number}/run_01.parquet", recording(number)))
    run_p300("retry", name, "--wait")
    assert name not in waiting(stack)
    assert run_p300("retry", name, check=False).returncode == 1  # it is no failure any more
    version = json.loads(run_p300("models", "--json").stdout)["models"][0]["version"]
    manifest = json.load(stack.s3.get_object(Bucket=stack.models, Key=f"{version}/manifest.json")["Body"])
    assert manifest["subjects"] == ["subject_90", "subject_91"]
    assert manifest["execution"] == name


def test_quarantine_release_under_another_key_and_drop(stack: Stack) -> None:
    body = recording(92)
    executions = stack.land(("run_92.parquet", body), ("notes_92.txt", b"hello"))
    assert {execution.output["outcome"] for execution in executions.values()} == {"quarantined"}
    listed = {one["landing_key"]: one for one in json.loads(run_p300("quarantine", "list", "--json").stdout)}
    assert listed["run_92.parquet"]["code"] == "wrong_key"
    released = run_p300("quarantine", "release", "run_92.parquet", "--to", "subject_92/run_01.parquet", "--wait")
    assert "features" in released.stdout
    assert stack.s3.get_object(Bucket=stack.raw, Key="subject_92/run_01.parquet")["Body"].read() == body
    run_p300("quarantine", "drop", "notes_92.txt", "--yes")
    left = {one["landing_key"] for one in json.loads(run_p300("quarantine", "list", "--json").stdout)}
    assert not left & {"run_92.parquet", "notes_92.txt"}
    for key in stack.keys(stack.raw, "quarantine/"):
        assert "_92." not in key
    assert stack.keys(stack.landing) == []


def test_a_release_that_is_no_recording_still_comes_back_and_says_so(stack: Stack) -> None:
    stack.land(("subject_93/cut.parquet", recording(93)[:2000]))
    done = run_p300("quarantine", "release", "subject_93/cut.parquet", "--wait", check=False)
    assert done.returncode == 1
    assert "quarantined" in done.stdout
    (kept,) = [key for key in stack.keys(stack.raw, "quarantine/") if key.endswith("subject_93/cut.parquet")]
    assert stack.s3.get_object(Bucket=stack.raw, Key=kept)["Body"].read() == recording(93)[:2000]


@pytest.mark.usefixtures("champion")
def test_the_runbook(stack: Stack, tmp_path: Path) -> None:
    """Every command of docs/operations.md, in a situation that calls for it."""
    cut = recording(22)[:2000]
    stack.land(*NO_RECORDINGS, ("subject_22/run_01.parquet", cut))
    for model in ("lda", "ridge"):  # two champions at least, one of which to go back to
        run_p300("promote", stack.execute({"model": model, "seed": 99}).output["training"]["version"], check=False)
    old_key = stack.target.api_key
    script = "\n".join(shell_blocks((PROJECT / "docs" / "operations.md").read_text()))
    # Released as it is, the cut file comes back: that command says so by its exit code.
    script = script.replace("run_01.parquet --wait ", "run_01.parquet --wait || true")
    deletion = "aws s3 rm --recursive s3://$P300_RAW_BUCKET/subject_21/\naws s3 rm --recursive s3://$P300_FEATURES_BUCKET/subject_21/\n"
    script = script.replace("bucket=$P300_RAW_BUCKET", f"p300 watch\n{deletion}bucket=$P300_RAW_BUCKET")
    done = run_shell(f"export $(p300 env)\n{script}\necho key $P300_API_KEY", tmp_path)
    new_key = done.stdout.rpartition("key ")[2].strip()
    assert new_key != old_key
    assert stack.s3.get_object(Bucket=stack.raw, Key="subject_21/run_01.parquet")["Body"].read() == NO_RECORDINGS[0][1]
    assert "subject_21/run_01/features.parquet" in stack.keys(stack.features)
    (kept,) = [key for key in stack.keys(stack.raw, "quarantine/") if key.endswith("subject_22/run_01.parquet")]
    assert stack.s3.get_object(Bucket=stack.raw, Key=kept)["Body"].read() == cut

    def health(key: str) -> int:
        request = urllib.request.Request(f"{stack.target.api_url}/health", headers={"x-api-key": key})  # noqa: S310
        try:
            return int(urllib.request.urlopen(request).status)  # noqa: S310
        except urllib.error.HTTPError as error:
            return error.code

    assert (health(new_key), health(old_key)) == (200, 403)
    del stack.target.api_key  # the suite goes on with the new one
    stack.api = Api(stack.target)

"""The `p300` command as a shell user meets it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.localstack import Stack, run_p300
from tests.support.recordings import recording

pytestmark = pytest.mark.localstack


def test_env_is_what_a_shell_exports(stack: Stack) -> None:
    lines = dict(line.split("=", 1) for line in run_p300("env").stdout.splitlines())
    assert lines["P300_STATE_MACHINE_ARN"] == stack.outputs["StateMachineArn"]
    assert lines["P300_LANDING_BUCKET"] == "p300-landing-zone"
    assert lines["AWS_ENDPOINT_URL"] == stack.target.endpoint
    assert {"P300_API_URL", "P300_API_KEY", "P300_MODELS_BUCKET"} <= lines.keys()


def test_land_predict_and_models(stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "subject_60"
    folder.mkdir()
    (folder / "a.parquet").write_bytes(recording(60))
    (folder / "b.parquet").write_bytes(recording(61))
    landed = run_p300("land", folder, "--wait")
    assert "subject_60/a.parquet" in landed.stdout
    if not json.loads(run_p300("models", "--json").stdout)["aliases"]["champion"]:
        run_p300("train")
    answer = json.loads(run_p300("predict", "subject_60/a", "--json").stdout)
    assert len(answer["probability_target"]) == answer["n_epochs"]
    models = json.loads(run_p300("models", "--json").stdout)
    assert models["aliases"]["champion"] in {row["version"] for row in models["models"]}
    assert "AUC left out" in run_p300("models").stdout
    shown = run_p300("models", "show", "champion", "--no-open").stdout
    assert "plain LDA, the reference" in shown
    assert Path(shown.splitlines()[-1]).read_bytes().startswith(b"\x89PNG")


def test_reproduce_gives_the_champion_to_the_bit(stack: Stack, champion: str) -> None:
    found = json.loads(run_p300("reproduce", "champion", "--json").stdout)
    assert found["version"] == champion
    assert found["same"], found


def test_errors_are_one_line_and_a_code(stack: Stack, tmp_path: Path) -> None:
    missing = run_p300("land", tmp_path / "nothing.parquet", check=False)
    assert missing.returncode == 1
    assert "does not exist" in missing.stderr
    unknown = run_p300("predict", "subject_98/nothing", check=False)
    assert unknown.returncode == 1
    assert "no features of subject_98/nothing" in " ".join(unknown.stderr.split())
    assert run_p300("nonsense", check=False).returncode == 2
    nobody = run_p300("models", check=False, AWS_ENDPOINT_URL="http://127.0.0.1:4599")
    assert nobody.returncode == 1
    assert "does not answer" in nobody.stderr


def test_deploy_again_is_unchanged_and_up_reuses(stack: Stack) -> None:
    assert "unchanged" in run_p300("deploy").stderr
    again = run_p300("up")
    assert "runs already" in again.stderr


def test_synth_says_that_it_is_synthetic(tmp_path: Path) -> None:
    done = run_p300("synth", tmp_path, "--subjects", "1")
    assert Path(done.stdout.strip()).exists()
    assert "synthetic" in done.stderr


def test_promote_and_rollback(stack: Stack, champion: str) -> None:
    run_p300("train", "--model", "lda", "--seed", "60")
    models = json.loads(run_p300("models", "--json").stdout)
    other = next(row["version"] for row in models["models"] if row["version"] != models["aliases"]["champion"])
    assert run_p300("promote", other).stdout.strip() == other
    assert stack.s3.get_object(Bucket=stack.models, Key="active_model_pointer.txt")["Body"].read().decode() == other
    back = run_p300("promote", "--rollback").stdout.strip()
    assert back == models["aliases"]["champion"]
    history = json.loads(run_p300("models", "--json").stdout)["history"]
    assert [entry["version"] for entry in history[-2:]] == [other, back]
    assert champion in {row["version"] for row in models["models"]}
    assert run_p300("promote", check=False).returncode == 2
    unknown = run_p300("promote", "v20000101000000", check=False)
    assert unknown.returncode == 1
    assert "v20000101000000" in unknown.stderr


def test_an_unlabelled_session_teaches_its_subjects_model_once_and_is_rolled_back(stack: Stack, champion: str) -> None:
    said = json.dumps({"labelled": False, "layout": {"type": "brain_invaders"}}).encode()

    def land(name: str, seed: int) -> dict[str, Any]:
        stack.s3.put_object(Bucket=stack.landing, Key=f"subject_55/{name}.p300.json", Body=said)
        key = f"subject_55/{name}.parquet"
        execution = stack.land((key, recording(seed, labelled=False)))[key]
        assert execution.status == "SUCCEEDED", execution.error
        return execution.output

    try:
        output = land("use_01", 55)
        assert output["recording"]["labelled"] is False
        assert output["training_due"]["outcome"] == "counted"
        # The sidecar's own execution takes both files too, and either may be the first to learn.
        assert output["personal"]["outcome"] in {"promoted", "unchanged"}, output["personal"]
        assert land("use_01", 55)["personal"]["outcome"] == "unchanged"
        refused = land("use_02", 56)["personal"]  # other noise: somebody else's session
        assert refused["outcome"] == "refused", refused
        assert "or calibrate again" in refused["why"]
        printed = json.loads(run_p300("models", "--subject", "55", "--json").stdout)["models"]
        assert [row["learned_from"] for row in printed] == ["use"]
        assert [(one["recording"], one["n_counted"]) for one in printed[0]["sessions"]] == [("subject_55/use_01", 1)]
        run_p300("promote", "--rollback", "--alias", "subject_55")
        assert json.loads(run_p300("models", "--subject", "55", "--json").stdout)["aliases"] == {"subject_55": champion}
        stack.wait_for_reports("subject_55/")
        page = stack.s3.get_object(Bucket=stack.features, Key="subject_55/use_01/report.html")["Body"].read().decode()
        assert "nobody says which flashes were targets" in page
    finally:
        stack.forget("subject_55/")

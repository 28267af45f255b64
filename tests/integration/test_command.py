"""The `p300` command as a shell user meets it."""

import json
from pathlib import Path

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

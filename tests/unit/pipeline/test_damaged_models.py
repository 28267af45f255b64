"""A models bucket with a damaged alias, pointer or index, or none at all: each is said as what it is, with the way out, everywhere."""

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from p300.errors import P300Error, RequestError
from p300_cli.main import app
from p300_cli.main import main as run_command
from p300_pipeline.errors import status_of
from p300_pipeline.registry import POINTER_KEY, Registry
from p300_pipeline.serving import Service
from p300_pipeline.steps.training import promote
from p300_pipeline.storage import NoBucketError, Store
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

from tests.support.buckets import FEATURES, MODELS, RAW
from tests.support.console import make_stack, manifest, open_console
from tests.support.functions import ENVIRONMENT, api_event
from tests.support.serving import TARGET_EPOCH, V1, V2, publish

GONE = "v20990101000000"
PREDICT = json.dumps({"features": TARGET_EPOCH})
DAMAGES: dict[str, tuple[Callable[[Store], Any], str]] = {
    "garbage": (lambda store: store.put(MODELS, "aliases/champion", b"\xff\xfe garbage"), "aliases/champion holds"),
    "markup": (lambda store: store.put(MODELS, "aliases/champion", b"<script>\x1b[31m"), "aliases/champion holds"),
    "huge": (
        lambda store: store.put(MODELS, "aliases/champion", V1.encode() + b"0" * 100_000),
        "aliases/champion holds",
    ),
    "empty": (lambda store: store.put(MODELS, "aliases/champion", b""), "aliases/champion is empty"),
    "no such version": (
        lambda store: store.put(MODELS, "aliases/champion", GONE.encode()),
        f"holds {GONE}, which has no manifest",
    ),
    "deleted": (lambda store: store.delete(MODELS, "aliases/champion"), "champion is not set"),
}


@pytest.fixture
def promoted(store: Store) -> Registry:
    """Two versions were champion, the second is."""
    registry = Registry(store, MODELS)
    for version, before in ((V1, None), (V2, V1)):
        publish(store, version, metrics=manifest()["metrics"])
        registry.promote(version, expected=before, entry={"execution": version, "why": "test"})
    return registry


@pytest.fixture
def command(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    target = SimpleNamespace(
        outputs={"ModelsBucketName": MODELS, "FeaturesBucketName": FEATURES}, client=lambda _: store.client
    )
    monkeypatch.setattr("p300_cli.targets.current", lambda: target)
    for name in ("out", "err"):
        monkeypatch.setattr(f"p300_cli.terminal.{name}.width", 600)
    return lambda *arguments: CliRunner().invoke(app, [*arguments])


@pytest.fixture
def console(store: Store) -> Iterator[TestClient]:
    make_stack()
    with open_console() as browser:
        yield browser


# ---- the API
@pytest.mark.parametrize("how", DAMAGES)
def test_the_api_serves_the_last_champion_and_says_what_is_wrong(promoted: Registry, store: Store, how: str) -> None:
    damage, said = DAMAGES[how]
    damage(store)
    service = Service(store, MODELS)
    assert service.predict(PREDICT)["model_version"] == V2
    status, health = service.health()
    assert (status, health["status"]) == (200, "degraded")
    assert said in health["problem"]
    assert "p300 promote" in health["problem"]
    models = service.models()
    assert [row["version"] for row in models["models"]] == [V2, V1]
    if how != "deleted":
        assert any(said in problem for problem in models["problems"])


@pytest.mark.parametrize("how", [name for name in DAMAGES if name != "deleted"])
def test_where_nothing_can_serve_the_refusal_says_what_is_wrong(store: Store, how: str) -> None:
    damage, said = DAMAGES[how]
    damage(store)
    for ask in (Service(store, MODELS).predict, lambda body: Service(store, MODELS).predict(body, "champion")):
        with pytest.raises(RequestError) as refused:
            ask(PREDICT)
        assert (refused.value.code, status_of(refused.value)) == ("no_model", 503)
        assert said in refused.value.message
        assert "p300 promote" in refused.value.message
    assert Service(store, MODELS).health()[0] == 503


def test_a_model_that_lost_its_artifact_says_so(promoted: Registry, store: Store) -> None:
    for version in (V1, V2):
        store.delete(MODELS, f"{version}/model.npz")
    with pytest.raises(RequestError, match=r"lost its model\.npz.*Restore.*p300 promote") as refused:
        Service(store, MODELS).predict(PREDICT)
    assert status_of(refused.value) == 503


def test_every_route_says_that_the_bucket_is_gone(
    promoted: Registry, store: Store, s3_client: Any, load_function: Any, context: Any
) -> None:
    delete_bucket(s3_client)
    module = load_function("inference", **ENVIRONMENT)
    for method, path, body, query in (
        ("POST", "/predict", PREDICT, None),
        ("POST", "/predict", PREDICT, {"alias": V1}),
        ("POST", "/decode", '{"layout": {}}', None),
        ("GET", "/models", None, None),
    ):
        answer = module.handler(api_event(method, path, body, queryStringParameters=query), context)
        assert answer["statusCode"] == 503, (path, answer)
        assert f"s3://{MODELS} does not exist" in json.loads(answer["body"])["error"]["message"]
    answer = module.handler(api_event("GET", "/health"), context)
    assert answer["statusCode"] == 503
    assert f"s3://{MODELS} does not exist" in json.loads(answer["body"])["message"]


def test_a_warm_process_serves_from_memory_when_the_bucket_goes(
    promoted: Registry, store: Store, s3_client: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("p300_pipeline.serving.cache.ALIAS_CHECK_S", 0.0)
    service = Service(store, MODELS)
    service.predict(PREDICT)
    delete_bucket(s3_client)
    assert service.predict(PREDICT)["model_version"] == V2
    assert "does not exist" in service.health()[1]["problem"]


def delete_bucket(client: Any) -> None:
    found = client.list_object_versions(Bucket=MODELS)
    for entry in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
        client.delete_object(Bucket=MODELS, Key=entry["Key"], VersionId=entry["VersionId"])
    client.delete_bucket(Bucket=MODELS)


# ---- functions
@pytest.mark.parametrize("how", DAMAGES)
def test_the_gate_compares_with_the_champion_that_was_damaged(promoted: Registry, store: Store, how: str) -> None:
    """Damage must not let a worse model through as if there had been none to compare with."""
    DAMAGES[how][0](store)
    worse = "v20260101000003"
    publish(store, worse, metrics=manifest(auc=0.6)["metrics"])
    answer = promote(store, MODELS, worse, execution="x")
    if how == "no such version":
        assert answer["outcome"] == "promoted"
        return
    assert (answer["outcome"], answer["champion"]) == ("kept", V2)
    better = "v20260101000004"
    publish(store, better, metrics=manifest(auc=0.9)["metrics"])
    answer = promote(store, MODELS, better, execution="y")
    assert (answer["outcome"], answer["replaced"]) == ("promoted", V2)
    assert promoted.alias("champion") == better
    assert promoted.problems() == []
    assert promote(store, MODELS, better, execution="y")["outcome"] == "promoted", "a retry gives the same answer"


def test_a_step_says_that_a_bucket_is_gone(promoted: Registry, store: Store, s3_client: Any) -> None:
    delete_bucket(s3_client)
    with pytest.raises(NoBucketError, match="A deleted bucket"):
        promote(store, MODELS, V1, execution="x")


# ---- the command
@pytest.mark.parametrize("how", DAMAGES)
def test_the_command_lists_the_models_and_what_is_wrong(
    promoted: Registry, store: Store, command: Any, how: str
) -> None:
    damage, said = DAMAGES[how]
    damage(store)
    done = command("models")
    assert done.exit_code == 0
    assert said in done.stderr
    assert "\x1b[31m" not in done.stderr
    told = json.loads(command("models", "--json").stdout)
    assert [row["version"] for row in told["models"]] == [V2, V1]
    assert any(said in problem for problem in told["problems"])


@pytest.mark.parametrize("arguments", [[V1], [V2], ["--rollback"]])
@pytest.mark.parametrize("how", DAMAGES)
def test_the_way_out_works(promoted: Registry, store: Store, command: Any, how: str, arguments: list[str]) -> None:
    DAMAGES[how][0](store)
    done = command("promote", *arguments)
    assert done.exit_code == 0, done.exception
    back = V1 if how != "no such version" else V2  # else what was promoted last takes its place again
    wanted = back if arguments == ["--rollback"] else arguments[0]
    assert promoted.alias("champion") == wanted
    assert promoted.problems() == []
    assert Service(store, MODELS).health()[1]["status"] == "ok"


def test_a_pointer_that_is_missing_or_wrong_is_written_again(promoted: Registry, store: Store, command: Any) -> None:
    for damage in (lambda: store.delete(MODELS, POINTER_KEY), lambda: store.put(MODELS, POINTER_KEY, V1.encode())):
        damage()
        (problem,) = promoted.problems()
        assert POINTER_KEY in problem
        assert f"p300 promote {V2}" in problem
        assert command("promote", V2).exit_code == 0
        assert promoted.problems() == []
    done = command("promote", V2)
    assert done.exit_code == 1
    assert "already the champion" in done.stderr
    assert len(promoted.history()) == 2


def test_a_version_that_cannot_serve_is_not_promoted(promoted: Registry, store: Store, command: Any) -> None:
    for damage in (lambda: store.put(MODELS, f"{V1}/model.npz", b"x"), lambda: store.delete(MODELS, f"{V1}/model.npz")):
        damage()
        for arguments in ([V1], ["--rollback"]):
            done = command("promote", *arguments)
            assert done.exit_code == 1
            assert "model.npz" in done.stderr
    assert promoted.alias("champion") == V2


def test_the_command_says_in_one_line_that_the_bucket_is_gone(
    store: Store, s3_client: Any, command: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    delete_bucket(s3_client)
    for arguments in (["models"], ["models", "show"], ["promote", V1], ["promote", "--rollback"]):
        monkeypatch.setattr("sys.argv", ["p300", *arguments])
        with pytest.raises(SystemExit) as ended:
            run_command()
        assert ended.value.code == 1
        said = capsys.readouterr().err
        assert f"s3://{MODELS} does not exist" in said
        assert "Traceback" not in said


# ---- the console
@pytest.mark.parametrize("how", DAMAGES)
def test_the_console_lists_the_models_and_what_is_wrong(
    promoted: Registry, store: Store, console: TestClient, how: str
) -> None:
    damage, said = DAMAGES[how]
    damage(store)
    page = console.get("/models")
    assert page.status_code == 200
    assert said in page.text
    assert V1 in page.text
    assert "<script>\x1b" not in page.text
    for path in ("/recordings", "/models/rollback", f"/model?version={V1}", f"/models/promote?version={V1}", "/try"):
        assert console.get(path).status_code == 200, path


def test_the_console_says_that_the_bucket_is_gone(promoted: Registry, s3_client: Any, console: TestClient) -> None:
    delete_bucket(s3_client)
    for path in ("/models", f"/model?version={V1}", "/models/rollback", "/try"):
        page = console.get(path)
        assert page.status_code == 503
        assert f"s3://{MODELS} does not exist" in page.text


def test_the_console_lists_recordings_whose_reports_are_damaged(console: TestClient, store: Store) -> None:
    odd: list[dict[str, Any]] = [
        {"n_flashes": "x"}, {"n_flashes": 5}, {"n_flashes": 5, "n_kept": None, "n_target": 1, "n_non_target": 1}, {"erp_peak": 5},
        {"erp_peak": {"amplitude_uv": "x"}}, {"bad_channels": 5}, {"rejected_by_channel": {"Cz": "x"}}, {"rejected_by_channel": []},
        {"verdict": "P300 found"}, {"verdict": {"found": "yes", "words": "x", "sentence": "x"}}, {"verdict": {"found": True}},
    ]  # fmt: skip
    for number, report in enumerate(odd):
        store.put(RAW, f"subject_01/run_{number}.csv", b"x")
        store.put(FEATURES, f"subject_01/run_{number}/features.parquet", b"x")
        store.put(FEATURES, f"subject_01/run_{number}/report.json", json.dumps(report).encode())
    assert console.get("/recordings").status_code == 200
    for number in range(len(odd)):
        page = console.get("/recording", params={"name": f"subject_01/run_{number}"})
        assert page.status_code == 200
        assert "report.json is damaged" in page.text


def test_errors_of_a_missing_bucket_are_for_people() -> None:
    assert issubclass(NoBucketError, P300Error)

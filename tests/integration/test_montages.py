"""Two montages in one stack: each gets its own champion, and API Gateway's requests reach the one that has their channels."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from p300.montages import name_of

from tests.support.localstack import Stack, run_p300
from tests.support.recordings import recording

pytestmark = pytest.mark.localstack
BNCI = ("Fz", "Cz", "P3", "Pz", "P4", "PO7", "PO8", "Oz")
ALIAS = f"champion_{name_of(BNCI)}"
SIXTEEN, EIGHT = range(51, 56), range(61, 65)


@pytest.fixture(scope="module")
def montages(stack: Stack) -> Iterator[dict[str, Any]]:
    """A champion of sixteen channels, then four people's recordings of eight others, and what the training for these came to."""
    stack.land(*[(f"subject_{number}/run.parquet", recording(number)) for number in SIXTEEN])
    trained = stack.execute({"recording": "subject_51/run"})
    assert trained.status == "SUCCEEDED", trained.error
    stack.land(*[(f"subject_{number}/run.parquet", recording(number, channels=BNCI)) for number in EIGHT])
    ended = stack.execute({"recording": "subject_61/run"})
    assert ended.status == "SUCCEEDED", ended.error
    yield dict(ended.output)
    for number in (*SIXTEEN, *EIGHT):
        stack.forget(f"subject_{number}/")
    for key in (f"aliases/{ALIAS}", f"aliases/history_{ALIAS}.json", "aliases/montages.json"):
        stack.s3.delete_object(Bucket=stack.models, Key=key)


def test_a_training_of_another_montage_ends_with_a_champion_of_its_own(stack: Stack, montages: dict[str, Any]) -> None:
    promotion = montages["promotion"]
    assert (promotion["outcome"], promotion["alias"]) == ("promoted", ALIAS)
    assert set(montages["training"]["subjects"]) == {f"subject_{number}" for number in EIGHT}
    held = stack.s3.get_object(Bucket=stack.models, Key=f"aliases/{ALIAS}")["Body"].read().decode()
    assert held == promotion["champion"] == montages["training"]["version"]


def test_requests_reach_the_champion_of_their_channels(stack: Stack, montages: dict[str, Any]) -> None:
    n_times = json.loads(
        stack.s3.get_object(Bucket=stack.models, Key=f"{montages['training']['version']}/manifest.json")["Body"].read()
    )["n_times"]
    row = [1e-6] * (len(BNCI) * n_times)
    answer = stack.api.ask("POST", "/predict", {"features": row, "channels": list(BNCI[::-1])})
    assert answer.status == 200, answer.body
    assert (answer.body["alias"], answer.body["model_version"]) == (ALIAS, montages["training"]["version"])
    refused = stack.api.ask("POST", "/predict", {"features": row})
    assert (refused.status, refused.body["error"]["code"]) == (422, "no_channels")
    assert ALIAS in refused.refusal
    named = stack.api.ask("POST", f"/predict?alias={ALIAS}", {"features": row})
    assert (named.status, named.body["model_version"]) == (200, answer.body["model_version"])


def test_commands_take_the_champion_of_the_recording(stack: Stack, montages: dict[str, Any]) -> None:
    asked = json.loads(run_p300("predict", "subject_61/run", "--json").stdout)
    assert asked["model_version"] == montages["training"]["version"]
    other = json.loads(run_p300("predict", "subject_51/run", "--json").stdout)
    assert other["model_version"] != asked["model_version"]
    decoded = json.loads(run_p300("decode", "subject_61/run", "--json").stdout)
    assert decoded["model_version"] == asked["model_version"]
    listed = json.loads(run_p300("models", "--json").stdout)
    assert listed["aliases"][ALIAS] == asked["model_version"]
    left_out = {entry["recording"] for entry in listed["recordings"]["left_out"]}
    assert not left_out & {f"subject_{number}/run" for number in (*SIXTEEN, *EIGHT)}

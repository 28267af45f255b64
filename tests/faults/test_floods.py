"""Much at once: recordings, trainings, promotions while the API answers, changed uploads of what is being processed."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
from p300_client.api import load_features
from p300_client.model_versions import registry

from tests.support.faults import FULL, Landed, check, check_models, finish, small, train
from tests.support.localstack import Stack, run_p300, wait_for
from tests.support.recordings import recording

pytestmark = pytest.mark.localstack
Count = Callable[[str, int], None]
N_FLOOD = 200 if FULL else 12


def failures(stack: Stack) -> list[str]:
    return [one["name"] for one in json.loads(run_p300("retry", "--list", "--json").stdout)]


def test_a_flood_of_recordings_is_processed_with_no_manual_step(stack: Stack, count: Count) -> None:
    landed = Landed(stack)
    before = failures(stack)
    bodies = {f"subject_{number}/run_01.parquet": small(number) for number in range(2001, 2001 + N_FLOOD)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(landed.put, bodies, bodies.values()))
    finish(stack, landed, timeout_s=1800)
    assert failures(stack) == before
    check(stack, landed)
    count("recordings landed at once", N_FLOOD)


@pytest.fixture(scope="module")
def learned(stack: Stack) -> Stack:
    landed = Landed(stack)
    for number in range(2901, 2904):
        landed.put(f"subject_{number}/run_01.parquet", small(number))
    finish(stack, landed)
    return stack


SUBJECTS = ["subject_2901", "subject_2902", "subject_2903"]


def test_two_trainings_of_the_same_leave_one_version(learned: Stack) -> None:
    before = set(registry(learned.target).versions())
    request = {"subjects": SUBJECTS, "seed": 2000}
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda name: train(learned, name, request), ("twin-1", "twin-2")))
    assert [end["status"] for end in ends] == ["SUCCEEDED", "SUCCEEDED"]
    outputs = sorted((json.loads(end["output"]) for end in ends), key=lambda output: str(output["outcome"]))
    # The second goes through what comes after a training as well, unless the first was through with it before.
    assert outputs[0]["outcome"] == "model"
    (version,) = {(output.get("training") or output)["version"] for output in outputs}
    assert "was trained before" in str(outputs) or "were trained before" in str(outputs)
    assert set(registry(learned.target).versions()) - before == {version}
    check_models(learned)


def test_promotion_during_prediction_never_mixes_models(learned: Stack, count: Count) -> None:
    versions = []
    for model in ("lda", "ridge"):
        output = json.loads(
            train(learned, f"rival-{model}", {"model": model, "subjects": SUBJECTS, "seed": 2001})["output"]
        )
        versions.append(output["training"]["version"])
    X = load_features(learned.target, "subject_2901/run_01").X[:8]
    body = {"epochs": X.tolist()}
    alone: dict[str, Any] = {version: answer_of(learned, body, version) for version in versions}
    assert not np.allclose(*alone.values())
    seen: list[tuple[str, list[float]]] = []
    wrong: list[object] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            answer = learned.api.ask("POST", "/predict", body)
            if answer.status == 200:
                probabilities = [one["probability_target"] for one in answer.body["predictions"]]
                seen.append((answer.body["model_version"], probabilities))
            else:
                wrong.append(answer)

    def answers(version: str) -> bool | None:
        return any(name == version for name, _ in seen[-5:]) or None

    asking = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
    for thread in asking:
        thread.start()
    try:
        for number in range(10 if FULL else 2):
            version = versions[number % 2]
            if registry(learned.target).alias("champion") != version:
                run_p300("promote", version)
            wait_for(partial(answers, version), f"{version} answering")
    finally:
        over.set()
        for thread in asking:
            thread.join()
    assert not wrong
    assert {version for version, _ in seen} >= set(versions)
    for version, probabilities in seen:
        if version in alone:
            np.testing.assert_allclose(probabilities, alone[version], err_msg=version)
    check_models(learned)
    count("predictions while champions changed", len(seen))


def answer_of(stack: Stack, body: dict[str, object], version: str) -> list[float]:
    answer = stack.api.ask("POST", f"/predict?alias={version}", body)
    return [one["probability_target"] for one in answer.body["predictions"]]


def test_of_changed_uploads_while_the_first_is_processed_the_last_wins(stack: Stack, count: Count) -> None:
    landed = Landed(stack)
    numbers = range(2951, 2951 + (12 if FULL else 3))
    keys = [f"subject_{number}/run_01.parquet" for number in numbers]
    for number, key in zip(numbers, keys, strict=True):
        landed.put(key, small(number))
    # The change comes when the first one was just landed, is in the raw data, or has features.
    moments = {
        0: lambda key: True,
        1: lambda key: key in stack.keys(stack.raw, key),
        2: lambda key: bool(stack.keys(stack.features, key.rpartition(".")[0])),
    }

    def change(number: int) -> None:
        key = f"subject_{number}/run_01.parquet"
        wait_for(lambda: moments[number % 3](key) or None, f"the moment to change {key}")
        landed.put(key, recording(5000 + number, n_channels=4, n_repetitions=9))

    with ThreadPoolExecutor(len(keys)) as pool:
        list(pool.map(change, numbers))
    finish(stack, landed)
    check(stack, landed)
    for key in keys:
        report = stack.s3.get_object(Bucket=stack.features, Key=f"{key.rpartition('.')[0]}/report.json")["Body"].read()
        assert json.loads(report)["n_flashes"] == 9 * 12, key
    count("recordings changed while they were processed", len(keys))

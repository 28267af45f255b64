"""A function's process is killed before and after each of its writes: nothing is lost, doubled or torn, and the work is finished."""

import itertools
import json
from collections.abc import Callable, Iterator

import pytest
from p300_pipeline.keys import QUARANTINE, RECORDS

from tests.support.faults import (
    FULL,
    PARAMETERS,
    Faults,
    Landed,
    check,
    check_bytes,
    check_models,
    etag,
    finish,
    settle,
    small,
    train,
)
from tests.support.localstack import Stack, run_p300, wait_for

pytestmark = pytest.mark.localstack
Count = Callable[[str, int], None]


def too_loud(seed: int) -> bytes:
    """Return a recording of which no epoch is kept, though its EEG is of a size that people have."""
    import io

    import pyarrow.parquet as pq
    from p300.arrow import from_numpy

    table = pq.read_table(io.BytesIO(small(seed)))
    for number, name in enumerate(table.column_names):
        if name.startswith("eeg_"):
            table = table.set_column(number, name, from_numpy(table[name].to_numpy() * 40, table[name].type))
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def points(n_writes: int) -> Iterator[tuple[int, str]]:
    """Return where a function can die; one death after a write for one before the next, which leaves the same, in a short run."""
    return itertools.product(range(1, n_writes + 1), ("before", "after") if FULL else ("after",))


def kill_at_each_write(
    faults: Faults, function: str, n_writes: int, first: int, make: Callable[[int], bytes], how: str = ""
) -> dict[str, bytes]:
    """Plan a death at each write of a function, each for a recording of its own; return those."""
    uploads = {}
    for number, (write, when) in enumerate(points(n_writes), first):
        key, body = f"subject_{number}/run_01.parquet", make(number)
        # A report is asked for by key, everything else by the recording's ETag.
        match = f'"{key}"' if function == "reporting" else f'"{etag(body)}"'
        faults.add(f"{function}{how} {when} write {write}", function, match, kind="kill", write=write, when=when)
        uploads[key] = body
    return uploads


def test_recordings(stack: Stack, faults: Faults, count: Count) -> None:
    landed = Landed(stack)
    stored = (
        kill_at_each_write(faults, "ingestion", 2, 101, small)
        | kill_at_each_write(faults, "preprocessing", 2, 121, small)
        | kill_at_each_write(faults, "reporting", 2, 141, small)
    )
    refused = kill_at_each_write(faults, "ingestion", 3, 111, lambda seed: small(seed)[:5000], " quarantining")
    refused |= kill_at_each_write(faults, "preprocessing", 3, 131, too_loud, " quarantining")
    for key, body in (stored | refused).items():
        landed.put(key, body)
    finish(stack, landed)

    def all_reported() -> bool | None:
        wanted = {f"{key.removesuffix('.parquet')}/report.html" for key in stored}
        return wanted <= set(stack.keys(stack.features)) or None

    wait_for(all_reported, "the reports", 300)
    check(stack, landed)
    assert len(stack.keys(stack.raw, QUARANTINE)) == len(stack.keys(stack.raw, RECORDS)) == len(refused)
    # Changed ones under the same keys take the places of the first.
    again = kill_at_each_write(faults, "ingestion", 2, 101, lambda seed: small(1000 + seed), " replacing")
    again |= kill_at_each_write(faults, "preprocessing", 2, 121, lambda seed: small(1000 + seed), " replacing")
    for key, body in again.items():
        landed.put(key, body)
    finish(stack, landed)
    check(stack, landed)
    every_one_fired(faults, count)


def every_one_fired(faults: Faults, count: Count) -> None:
    planned = {rule["id"] for rule in faults.rules}
    assert not planned - faults.fired()
    count("deaths of functions between two writes", len(planned))


@pytest.fixture(scope="module")
def learned(stack: Stack) -> Stack:
    """The stack with features of four people at least, and a champion."""
    landed = Landed(stack)
    for number in range(201, 205):
        landed.put(f"subject_{number}/run_01.parquet", small(number))
    finish(stack, landed)
    return stack


def test_trainings(learned: Stack, faults: Faults, count: Count) -> None:
    """One training after another, each dying in training, in promotion, in drawing and in tracking, and ending well."""
    first = train(learned, "undisturbed", {"seed": 1000})
    assert first["status"] == "SUCCEEDED", first
    written = [line for line in faults.noted("writes") if '"undisturbed"' in line["event"]]
    n_writes = {
        function: sum(line["function"] == function for line in written)
        for function in ("training", "promotion", "reporting", "tracking")
    }
    assert n_writes["training"] >= 6  # request, artifacts, manifest, challenger
    assert n_writes["promotion"] == 4  # champion, pointer, history, decision
    assert n_writes["reporting"] == 3  # a plot each
    assert n_writes["tracking"] > 3
    deaths = {step: [[point] for point in points(number)] for step, number in n_writes.items()}
    if not FULL:
        # Two deaths in one training, the later at the later write; of tracking's files one is like the other.
        n_trainings = (len(deaths["training"]) + 1) // 2
        deaths["training"] = [
            list(itertools.chain(*deaths["training"][number::n_trainings])) for number in range(n_trainings)
        ]
        deaths["tracking"] = [deaths["tracking"][index] for index in (0, -2, -1)]
    for number in range(max(map(len, deaths.values()))):
        name = f"dying-{number}"
        for function, at in deaths.items():
            for write, when in at[number] if number < len(at) else ():
                fault = f"{function} {when} write {write}"
                faults.add(fault, function, f'"{name}"', kind="kill", write=write, when=when)
        champion_before = check_models(learned)
        end = train(learned, name, {"seed": number})
        assert end["status"] == "SUCCEEDED", end
        champion = check_models(learned)
        assert champion != champion_before, name
    every_one_fired(faults, count)


def test_a_drawing_that_dies_at_every_attempt_fails_no_training(learned: Stack, faults: Faults, count: Count) -> None:
    faults.add("always in drawing", "reporting", '"undrawn"', kind="kill", always=True, write=2, when="before")
    end = train(learned, "undrawn", {"seed": 2000})
    assert end["status"] == "SUCCEEDED", end
    output = json.loads(end["output"])
    assert (output["plots"].get("names"), output["tracking"]["outcome"]) == (None, "tracked")
    assert learned.keys(learned.models, f"{output['training']['version']}/") == [
        f"{output['training']['version']}/{name}"
        for name in (
            "calibration.png",
            "evaluation.json",
            "manifest.json",
            "model.joblib",
            "model.npz",
            "promotion.json",
            "request.json",
        )
    ]
    assert faults.fired()
    count("trainings that succeeded though no attempt to draw them did", 1)


def retrain_every(stack: Stack, number: str) -> None:
    """Set what the parameter `RetrainEvery` sets, without a deployment of everything."""
    client, name = stack.target.client("lambda"), "p300-scheduling"
    variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    variables |= {"P300_RETRAIN_EVERY": number}
    client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    client.get_waiter("function_updated_v2").wait(FunctionName=name)


def test_a_training_that_is_due_is_not_forgotten(learned: Stack, faults: Faults, count: Count) -> None:
    retrain_every(learned, "1")
    landed = Landed(learned)
    for when in ("before", "after"):
        faults.add(f"claim {when} write 1", "scheduling", kind="kill", write=1, when=when)
    before = check_models(learned)
    landed.put("subject_211/run_01.parquet", small(211))
    finish(learned, landed)
    check(learned, landed)
    assert check_models(learned) != before
    every_one_fired(faults, count)
    faults.clear()
    retrain_every(learned, PARAMETERS["RetrainEvery"])


def test_what_dies_at_every_attempt_is_kept_with_the_reason_stops_nobody_and_is_finished_by_p300_retry(
    learned: Stack, faults: Faults, count: Count
) -> None:
    landed = Landed(learned)
    bodies = {f"subject_{number}/run_01.parquet": small(number) for number in range(301, 307)}
    in_landing, in_raw, wild, hungry, *_ = bodies
    for key, function, rule in (
        (in_landing, "ingestion", {"kind": "kill", "write": 1, "when": "before"}),
        (in_raw, "preprocessing", {"kind": "kill", "write": 1, "when": "before"}),
        (wild, "ingestion", {"kind": "reader", "by": "segmentation fault"}),
        (hungry, "ingestion", {"kind": "reader", "by": "memory"}),
    ):
        faults.add(f"always for {key.partition('/')[0]}", function, f'"{etag(bodies[key])}"', **rule, always=True)
    doom = {"kind": "kill", "write": 4, "when": "after", "always": True}
    faults.add("always in training", "training", '"doomed"', **doom)
    for key, body in bodies.items():
        landed.put(key, body)
    doomed = train(learned, "doomed", {"seed": 77})
    assert doomed["status"] == "FAILED"
    settle(learned)
    check_models(learned)
    check_bytes(learned, landed)
    assert set(learned.keys(learned.landing)) == {in_landing, wild, hungry}
    assert set(bodies) - set(learned.keys(learned.landing)) <= set(learned.keys(learned.raw))
    assert not [key for key in learned.keys(learned.raw, "quarantine/") if key.endswith(tuple(bodies))]
    kept = {one["source"]: one["error"] for one in json.loads(run_p300("retry", "--list", "--json").stdout)}
    for key, reason in (
        (in_landing, "signal: killed"),
        (in_raw, "signal: killed"),
        (wild, "signal: segmentation fault"),
        (hungry, "Runtime.OutOfMemory"),
    ):
        assert reason in kept[key]
    n_deaths = len(faults.noted("deaths"))
    assert faults.fired() >= {rule["id"] for rule in faults.rules}
    faults.clear()
    run_p300("retry", "--wait")
    finish(learned, landed)
    check(learned, landed)
    assert len(faults.noted("deaths")) == n_deaths
    count("executions that died at every attempt and were finished by p300 retry", 5)
    count("of them by a wild pointer or too much memory in a reader", 2)

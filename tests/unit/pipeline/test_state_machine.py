"""The state machines' definitions: they parse, hang together, and agree with the contracts of the functions."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from p300_pipeline import contracts

from tests.support.paths import PROJECT
from tests.support.state_machines import BACKFILL, EACH, FOLDER, GRAPHS, STATES

EVERY_STATE = [(graph, name) for graph, one in GRAPHS.items() for name in one["States"]]
EVERY_TASK = [(graph, name) for graph, name in EVERY_STATE if GRAPHS[graph]["States"][name]["Type"] == "Task"]
EVERY_FUNCTION_TASK = [
    (graph, name) for graph, name in EVERY_TASK if GRAPHS[graph]["States"][name]["Resource"].endswith("lambda:invoke")
]
TASKS = [name for graph, name in EVERY_TASK if graph == "pipeline"]
FUNCTION_TASKS = [name for graph, name in EVERY_FUNCTION_TASK if graph == "pipeline"]


def following(state: dict[str, Any]) -> set[str]:
    """Return every state that can come next."""
    named = {state[field] for field in ("Next", "Default") if field in state}
    return named | {rule["Next"] for rule in [*state.get("Choices", []), *state.get("Catch", [])]}


@pytest.mark.parametrize(("graph", "name"), EVERY_STATE)
def test_every_state_leads_somewhere(graph: str, name: str) -> None:
    states = GRAPHS[graph]["States"]
    state = states[name]
    assert following(state) <= states.keys()
    ends = state["Type"] in {"Succeed", "Fail"} or state.get("End") is True
    assert ends != bool(following(state)), "a state either ends the execution or names the next"
    if state["Type"] == "Choice":
        assert "Default" in state


def reachable(states: dict[str, dict[str, Any]], name: str) -> set[str]:
    found, todo = set(), {name}
    while todo:
        state = todo.pop()
        found.add(state)
        todo |= following(states[state]) - found
    return found


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_state_is_reached_and_can_end(graph: str) -> None:
    states = GRAPHS[graph]["States"]
    assert reachable(states, GRAPHS[graph]["StartAt"]) == states.keys()
    for name in states:
        assert any(not following(states[state]) for state in reachable(states, name)), name


def test_a_failure_is_caught_only_where_the_execution_carries_on_without_the_step() -> None:
    """Anything else ends the execution, which EventBridge reports, with the error of the step."""
    caught = {
        (graph, name): state["Catch"][-1]["Next"]
        for graph, one in GRAPHS.items()
        for name, state in one["States"].items()
        if "Catch" in state
    }
    assert caught == {
        ("pipeline", "Request the report"): "Count new recordings",
        ("pipeline", "Make the personal model"): "Personal model failed",
        ("pipeline", "Draw plots"): "Plots failed",
        ("pipeline", "Track"): "Tracking failed",
        ("pipeline", "Notify"): "Done",
        ("each recording", "Preprocess"): "Keep the failed input",
        ("each recording", "Draw the report"): "Keep the failed input",
        ("each recording", "Keep the failed input"): "Failed",
        ("each recording", "Record the outcome"): "Done",
    }
    for graph, name in caught:
        (rule,) = GRAPHS[graph]["States"][name]["Catch"]
        assert rule["ErrorEquals"] == ["States.ALL"]
        assert rule.get("ResultPath", "$") != "$", "an error must not replace the input"


@pytest.mark.parametrize(("graph", "name"), EVERY_TASK)
def test_every_task_is_tried_again_whatever_the_error(graph: str, name: str) -> None:
    retry = GRAPHS[graph]["States"][name]["Retry"]
    assert retry[-1]["ErrorEquals"] == ["States.ALL"], "States.ALL stands last, as Step Functions wants"
    assert all(rule["ErrorEquals"] != ["States.ALL"] for rule in retry[:-1])
    assert retry[-1]["MaxAttempts"] >= 1


@pytest.mark.parametrize(("graph", "name"), EVERY_FUNCTION_TASK)
def test_every_function_has_a_timeout_and_a_correlation_id(graph: str, name: str) -> None:
    state = GRAPHS[graph]["States"][name]
    assert 0 < state["TimeoutSeconds"] <= 900
    assert state["Parameters"]["Payload"]["execution.$"] == "$$.Execution.Name"
    assert re.fullmatch(r"\$\{\w+FunctionArn\}", state["Parameters"]["FunctionName"])


def test_what_fails_once_the_model_serves_is_told_and_the_execution_carries_on() -> None:
    for task, failed in (("Draw plots", "Plots failed"), ("Track", "Tracking failed")):
        assert STATES[task]["Catch"][0]["Next"] == failed
        assert STATES[failed]["Next"] == STATES[task]["Next"]
        assert STATES[failed]["ResultPath"] == "$.subject"
    assert STATES["Tracking failed"]["Next"] == "Model ready"
    choice = STATES[STATES["Model ready"]["Next"]]
    assert choice["Choices"] == [{"Variable": "$.subject", "IsPresent": True, "Next": "Notify"}]
    assert choice["Default"] == STATES["Notify"]["Next"] == "Done"
    assert {"plots.$", "tracking.$"} <= STATES["Model ready"]["Parameters"].keys(), "the message has both errors"


def test_one_state_notifies_with_the_subject_set_before_it() -> None:
    notify = STATES["Notify"]
    assert [name for name in TASKS if STATES[name]["Resource"].endswith("sns:publish")] == ["Notify"]
    assert notify["Parameters"]["Subject.$"] == "$.subject"
    assert notify["Parameters"]["Message.$"] == STATES[notify["Next"]]["OutputPath"] == "$.step.result"
    leading = {name for name in STATES if "Notify" in following(STATES[name]) and name != "Notify"}
    assert leading == {"Quarantined", "Incomplete", "Unreadable", "Did everything succeed?"}
    subjects = {state["Result"] for state in STATES.values() if state.get("ResultPath") == "$.subject"}
    assert len(subjects) == 6
    assert all(subject.startswith("P300 ") and len(subject) < 100 for subject in subjects)


OUTCOMES: dict[
    str, tuple[Any, dict[str, str]]
] = {  # Choice -> all outcomes of the step before it, and where each leads
    "Is it a recording?": (
        contracts.IngestOutcome,
        {
            "stored": "Preprocess",
            "unchanged": "Preprocess",
            "quarantined": "Quarantined",
            "waiting": "Wait for other files",
            "incomplete": "Incomplete",
            "unreadable": "Unreadable",
            "ignored": "Done",
            "gone": "Done",
        },
    ),
    "Are there features?": (
        contracts.PreprocessOutcome,
        {
            "features": "Request the report",
            "unchanged": "Request the report",
            "quarantined": "Quarantined",
            "superseded": "Done",
            "unusable": "Done",  # of a backfill only
        },
    ),
    "Is training due?": (
        contracts.ScheduleOutcome,
        {"due": "Train", "gathering": "Wait for more recordings", "counted": "Features ready"},
    ),
    "Is there a new model?": (
        contracts.TrainOutcome,
        {"trained": "Evaluate", "unchanged": "Model exists already", "spread": "Fit folds"},
    ),
}
OUTCOMES_IN_A_BACKFILL = {
    "features": "Draw the report",
    "unchanged": "Draw the report",
    "unusable": "Unusable",
    "superseded": "Superseded",
    "quarantined": "Superseded",  # as an earlier execution had it
}


def leads(choice: dict[str, Any], outcome: str) -> str:
    chosen = [rule["Next"] for rule in choice["Choices"] if rule["StringEquals"] == outcome]
    return str((chosen or [choice["Default"]])[0])


@pytest.mark.parametrize("choice", OUTCOMES)
def test_every_outcome_of_a_step_leads_where_it_should(choice: str) -> None:
    outcomes, wanted = OUTCOMES[choice]
    assert {outcome: leads(STATES[choice], outcome) for outcome in get_args(outcomes)} == wanted


def test_every_outcome_of_preprocessing_leads_where_it_should_in_a_backfill() -> None:
    choice = EACH["States"]["Are there features?"]
    outcomes = get_args(contracts.PreprocessOutcome)
    assert {outcome: leads(choice, outcome) for outcome in outcomes} == OUTCOMES_IN_A_BACKFILL


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_choice_on_an_outcome_names_outcomes_that_the_step_has(graph: str) -> None:
    """A Choice names no outcome that no step gives: one that was misspelled would lead to the default in silence."""
    known = {"Is it a recording?", "Are there features?", "Is training due?", "Is there a new model?"}
    for name, state in GRAPHS[graph]["States"].items():
        rules = [rule for rule in state.get("Choices", []) if "StringEquals" in rule]
        if rules:
            assert name in known
            assert {rule["StringEquals"] for rule in rules} <= set(get_args(OUTCOMES[name][0]))
            assert all(rule["Variable"].endswith(".result.outcome") for rule in rules)


def fields(kind: Any) -> tuple[frozenset[str], frozenset[str]]:
    return kind.__required_keys__, kind.__required_keys__ | kind.__optional_keys__


PAYLOADS = {
    "Ingest": contracts.IngestInput,
    "Preprocess": contracts.PreprocessInput,
    "Request the report": contracts.ReportInput,
    "Draw the report": contracts.ReportInput,
    "Count new recordings": contracts.ScheduleInput,
    "Make the personal model": contracts.PersonalInput,
    "Train": contracts.TrainInput,
    "Fit a batch of folds": contracts.SpreadInput,
    "Score a batch of folds": contracts.SpreadInput,
    "Finish the training": contracts.SpreadInput,
    "Evaluate": contracts.EvaluateInput,
    "Promote": contracts.PromoteInput,
    "Draw plots": contracts.PlotInput,
    "Track": contracts.TrackInput,
    "List recordings": contracts.ListInput,
    "Sum up": contracts.SumUpInput,
}


EVENTS = {  # tests/events, for `sam local invoke`
    "ingestion": contracts.IngestInput,
    "preprocessing": contracts.PreprocessInput,
    "reporting": contracts.ReportInput,
    "pictures": contracts.PlotInput,
    "scheduling": contracts.ScheduleInput,
    "training": contracts.TrainInput,
    "promotion": contracts.PromoteInput,
    "tracking": contracts.TrackInput,
    "inventory": contracts.ListInput,
}


@pytest.mark.parametrize("path", sorted((PROJECT / "tests" / "events").iterdir()), ids=lambda path: path.stem)
def test_every_sample_event_is_what_its_function_takes(path: Path) -> None:
    event = json.loads(path.read_text())
    if "httpMethod" in event:  # of API Gateway
        return
    needed, taken = fields(EVENTS[path.stem])
    assert needed <= event.keys() <= taken


@pytest.mark.parametrize(("graph", "name"), EVERY_FUNCTION_TASK)
def test_every_payload_is_what_its_function_takes(graph: str, name: str) -> None:
    payload = GRAPHS[graph]["States"][name]["Parameters"]["Payload"]
    needed, taken = fields(PAYLOADS[name])
    assert needed <= {field.removesuffix(".$") for field in payload} <= taken


@pytest.mark.parametrize(("resource", "name"), [("Pipeline", "pipeline"), ("Backfill", "backfill")])
def test_substitutions_are_those_of_the_template(resource: str, name: str) -> None:
    template = (FOLDER.parent / "template.yaml").read_text()
    (block,) = re.findall(rf"^  {resource}:\n(.*?)^  \w", template, re.MULTILINE | re.DOTALL)
    (given,) = re.findall(r"DefinitionSubstitutions:\n((?: {8}.*\n)+)", block)
    used = set(re.findall(r"\$\{(\w+)\}", (FOLDER / f"{name}.asl.yaml").read_text()))
    assert used == set(re.findall(r"^ {8}(\w+): !(?:GetAtt|Ref) ", given, re.MULTILINE))


def test_what_waits_looks_again_when_the_function_said() -> None:
    wait = STATES["Wait for other files"]
    assert (wait["SecondsPath"], wait["Next"]) == ("$.step.result.look_again_s", "Ingest")
    wait = STATES["Wait for more recordings"]
    assert (wait["SecondsPath"], wait["Next"]) == ("$.schedule.result.look_again_s", "Count new recordings")


# ---- the report
def test_nothing_waits_for_the_report() -> None:
    assert STATES["Request the report"]["Parameters"]["InvocationType"] == "Event"


# ---- a model
def test_a_personal_model_is_made_before_anything_waits_and_fails_no_recording() -> None:
    task, failed, none = (
        STATES[name] for name in ("Make the personal model", "Personal model failed", "No population model")
    )
    wanted = STATES[STATES["Count new recordings"]["Next"]]
    assert wanted["Choices"] == [
        {"Variable": "$.personal", "IsPresent": True, "Next": "Is training due?"},  # counted again after a wait
        {"Variable": "$.schedule.result.has_champion", "BooleanEquals": True, "Next": "Make the personal model"},
    ]
    assert wanted["Default"] == "No population model"
    assert task["Next"] == failed["Next"] == none["Next"] == "Is training due?"
    assert task["Catch"][0]["ResultPath"] == "$.personal.result"
    assert STATES["Features ready"]["Parameters"]["personal.$"] == "$.personal.result"
    assert STATES["Features ready"]["Next"] == STATES["Model ready"]["Next"] == "Did everything succeed?"


def test_a_model_is_trained_as_scheduling_or_somebody_asks() -> None:
    assert STATES["Train"]["Parameters"]["Payload"]["request.$"] == "$.schedule.result.request"
    request = STATES["Take the training request"]
    assert request["Parameters"] == {
        "step": {"result": None},
        "personal": {"result": None},
        "schedule": {"result": {"request.$": "$.train"}},
    }
    assert request["Next"] == "Train"


def test_a_spread_training_fits_all_folds_before_it_scores_any_and_runs_so_many_functions_as_the_stack_says() -> None:
    fit, score, finish = (STATES[name] for name in ("Fit folds", "Score folds", "Finish the training"))
    assert (fit["Next"], score["Next"], finish["Next"]) == (
        "Score folds",
        "Finish the training",
        "Is there a new model?",
    )
    for state, items in ((fit, "fits"), (score, "adapted")):
        assert state["ItemsPath"] == f"$.training.result.{items}"
        assert state["MaxConcurrencyPath"] == "$.training.result.at_once"
        assert state["ItemProcessor"]["ProcessorConfig"]["Mode"] == "INLINE"
        assert state["ResultPath"] is None, "results are in the bucket, and what the training said stays"
        (task,) = state["ItemProcessor"]["States"].values()
        assert "Catch" not in task, "a fold that fails at every attempt fails the training"


def test_a_model_serves_before_it_is_plotted_and_is_plotted_before_it_is_tracked() -> None:
    order = ["Promote", "Draw plots", "Track", "Model ready"]
    assert [STATES[name]["Next"] for name in order[:-1]] == order[1:]
    assert "InvocationType" not in STATES["Draw plots"]["Parameters"], "tracking reads the plots"


# ---- the backfill
def test_the_backfill_goes_through_the_listed_recordings_a_few_at_a_time() -> None:
    assert BACKFILL["States"]["List recordings"]["Parameters"]["Payload"]["step"] == "list"
    every = BACKFILL["States"]["Every recording"]
    assert every["ItemReader"]["Parameters"] == {"Bucket.$": "$.bucket", "Key.$": "$.key"}
    assert every["ItemReader"]["ReaderConfig"] == {"InputType": "JSON"}
    assert 1 < every["MaxConcurrency"] <= 40
    assert every["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED"


def test_the_backfill_moves_no_recording_and_waits_for_the_report() -> None:
    payload = EACH["States"]["Preprocess"]["Parameters"]["Payload"]
    assert (payload["etag"], payload["quarantine"]) == ("", False)
    assert "InvocationType" not in EACH["States"]["Draw the report"]["Parameters"]


def test_whatever_becomes_of_a_recording_is_noted_and_the_outputs_of_all_are_kept_out_of_the_backfills_state() -> None:
    note = EACH["States"]["Record the outcome"]
    for name, state in EACH["States"].items():
        if state["Type"] == "Pass":
            assert {field.removesuffix(".$") for field in state["Parameters"]} == {
                "backfill",
                "key",
                "outcome",
                "detail",
            }
            assert state["Next"] == "Record the outcome", name
    assert [name for name, state in EACH["States"].items() if not following(state)] == [note["Next"]]
    every = BACKFILL["States"]["Every recording"]
    assert every["ResultWriter"]["Parameters"] == {"Bucket": "${FeaturesBucketName}", "Prefix": "backfill/map-runs"}
    assert every["ResultPath"] is None
    assert BACKFILL["States"][every["Next"]]["Parameters"]["Payload"]["step"] == "sum_up"


def test_one_failed_recording_does_not_stop_the_backfill() -> None:
    for name, state in EACH["States"].items():
        assert state["Type"] != "Fail", name

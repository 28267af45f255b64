"""The state machines' definitions: they parse, hang together, and no task may fail unhandled."""

import re
from typing import Any

import pytest

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


@pytest.mark.parametrize(("graph", "name"), EVERY_TASK)
def test_every_task_retries_and_catches_everything(graph: str, name: str) -> None:
    state = GRAPHS[graph]["States"][name]
    for field in ("Retry", "Catch"):
        assert state[field][-1]["ErrorEquals"] == ["States.ALL"], "States.ALL stands last, as Step Functions wants"
        assert all(rule["ErrorEquals"] != ["States.ALL"] for rule in state[field][:-1])
    assert state["Retry"][-1]["MaxAttempts"] >= 1
    assert all(rule.get("ResultPath", "$") != "$" for rule in state["Catch"]), "an error must not replace the input"


@pytest.mark.parametrize(("graph", "name"), EVERY_FUNCTION_TASK)
def test_every_function_has_a_timeout_and_a_correlation_id(graph: str, name: str) -> None:
    state = GRAPHS[graph]["States"][name]
    assert 0 < state["TimeoutSeconds"] <= 900
    assert state["Parameters"]["Payload"]["execution.$"] == "$$.Execution.Name"
    assert re.fullmatch(r"\$\{\w+FunctionArn\}", state["Parameters"]["FunctionName"])


@pytest.mark.parametrize(
    "name", [name for name in FUNCTION_TASKS if STATES[name]["Parameters"]["FunctionName"] == "${TrainingFunctionArn}"]
)
def test_training_steps_are_those_of_the_function(name: str, load_function) -> None:
    assert STATES[name]["Parameters"]["Payload"]["step"] in load_function("training").STEPS


AFTER_THE_MODEL_SERVES = {
    "Draw the model's pictures": "Tell that drawing failed",
    "Track in Weights & Biases": "Tell that tracking failed",
}


@pytest.mark.parametrize("name", FUNCTION_TASKS)
def test_what_fails_is_kept_and_told(name: str) -> None:
    caught = STATES[name]["Catch"][-1]["Next"]
    if name in AFTER_THE_MODEL_SERVES:
        assert caught == AFTER_THE_MODEL_SERVES[name]
        assert STATES[caught]["Next"] == STATES[name]["Next"], "the chain goes on"
        return
    if name == "Ask for the report":
        assert caught == STATES[name]["Next"], "a report fails no recording"
        return
    assert caught == "Keep the failed input"
    assert STATES[caught]["Next"] == "Tell about the failure"
    assert STATES[STATES[caught]["Next"]]["Next"] == "Failed"


def test_what_tells_can_fail_without_changing_how_the_execution_ends() -> None:
    for name in TASKS:
        state = STATES[name]
        if not state["Resource"].endswith("lambda:invoke"):
            assert {rule["Next"] for rule in state["Catch"]} == {state["Next"]}


OUTCOMES = {  # task -> the Choice after it, and where each outcome of the step leads
    "Was it a recording?": {
        "stored": "Extract the features",
        "unchanged": "Extract the features",
        "quarantined": "Tell why it is in quarantine",
        "waiting": "Wait for the other files",
        "incomplete": "Tell what is missing",
        "unreadable": "Tell what cannot be read",
        "ignored": "Nothing to do",
        "gone": "Nothing to do",
    },
    "Are there features?": {
        "features": "Ask for the report",
        "unchanged": "Ask for the report",
        "quarantined": "Tell why its features failed",
        "superseded": "Newer upload took over",
    },
    "Is there a new model?": {"trained": "Evaluate through inference", "unchanged": "Model was there already"},
}


@pytest.mark.parametrize(("choice", "outcome"), [(c, o) for c, outcomes in OUTCOMES.items() for o in outcomes])
def test_outcomes_lead_where_they_should(choice: str, outcome: str) -> None:
    state = STATES[choice]
    chosen = [rule["Next"] for rule in state["Choices"] if rule["StringEquals"] == outcome]
    assert (chosen or [state["Default"]]) == [OUTCOMES[choice][outcome]]


@pytest.mark.parametrize(("resource", "name"), [("Pipeline", "pipeline"), ("Backfill", "backfill")])
def test_substitutions_are_those_of_the_template(resource: str, name: str) -> None:
    template = (FOLDER.parent / "template.yaml").read_text()
    (block,) = re.findall(rf"^  {resource}:\n(.*?)^  \w", template, re.MULTILINE | re.DOTALL)
    (given,) = re.findall(r"DefinitionSubstitutions:\n((?: {8}.*\n)+)", block)
    used = set(re.findall(r"\$\{(\w+)\}", (FOLDER / f"{name}.asl.yaml").read_text()))
    assert used == set(re.findall(r"^ {8}(\w+): !(?:GetAtt|Ref) ", given, re.MULTILINE))


def test_what_waits_looks_again_when_the_function_said() -> None:
    wait = STATES["Wait for the other files"]
    assert (wait["SecondsPath"], wait["Next"]) == ("$.ingestion.details.look_again_s", "Ingest the recording")
    wait = STATES["Wait for more recordings"]
    assert (wait["SecondsPath"], wait["Next"]) == ("$.training_due.look_again_s", "Count new recordings")
    due, gathering = STATES["Is training due?"]["Choices"]
    assert (due["BooleanEquals"], due["Next"]) == (True, "Training is due")
    assert (gathering["Variable"], gathering["NumericGreaterThan"]) == (wait["SecondsPath"], 0)
    assert gathering["Next"] == "Wait for more recordings"


# ---- the report
def test_nothing_waits_for_the_report() -> None:
    assert STATES["Ask for the report"]["Parameters"]["InvocationType"] == "Event"


# ---- a model's pictures
def test_a_model_serves_before_it_is_drawn_and_is_drawn_before_it_is_tracked() -> None:
    order = ["Promote if not worse", "Draw the model's pictures", "Track in Weights & Biases", "Model ready"]
    assert [STATES[name]["Next"] for name in order[:-1]] == order[1:]
    assert "InvocationType" not in STATES[order[1]]["Parameters"], "tracking reads the pictures"


# ---- the backfill
def test_the_backfill_goes_through_the_listed_recordings_a_few_at_a_time() -> None:
    assert BACKFILL["States"]["List the recordings"]["Parameters"]["Payload"]["step"] == "list"
    every = BACKFILL["States"]["Every recording"]
    assert every["ItemReader"]["Parameters"] == {"Bucket.$": "$.bucket", "Key.$": "$.key"}
    assert every["ItemReader"]["ReaderConfig"] == {"InputType": "JSON"}
    assert 1 < every["MaxConcurrency"] <= 40
    assert every["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED"


def test_the_backfill_moves_no_recording_and_waits_for_the_report() -> None:
    payload = EACH["States"]["Extract the features"]["Parameters"]["Payload"]
    assert (payload["etag"], payload["quarantine"]) == ("", False)
    assert "InvocationType" not in EACH["States"]["Draw the report"]["Parameters"]


def test_whatever_becomes_of_a_recording_is_noted_and_the_outputs_of_all_are_kept_out_of_the_backfills_state() -> None:
    note = EACH["States"]["Note what became of it"]
    for name, state in EACH["States"].items():
        if state["Type"] == "Pass":
            assert {field.removesuffix(".$") for field in state["Parameters"]} == {
                "backfill",
                "key",
                "outcome",
                "detail",
            }
            assert state["Next"] == "Note what became of it", name
    assert [name for name, state in EACH["States"].items() if not following(state)] == [note["Next"]]
    every = BACKFILL["States"]["Every recording"]
    assert every["ResultWriter"]["Parameters"] == {"Bucket": "${FeaturesBucketName}", "Prefix": "backfill/map-runs"}
    assert every["ResultPath"] is None
    assert BACKFILL["States"][every["Next"]]["Parameters"]["Payload"]["step"] == "sum_up"


def test_one_failed_recording_does_not_stop_the_backfill() -> None:
    for name, state in EACH["States"].items():
        assert state["Type"] != "Fail", name

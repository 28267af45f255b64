"""Alarms and dashboard: each fault is watched, each metric is one that somebody emits, each alarm reaches a person."""

import json
import re
from fnmatch import fnmatch
from typing import Any

import pytest
import yaml
from p300_cli.deploy import read_template
from p300_cli.paths import PROJECT

TEMPLATE = read_template(PROJECT / "template.yaml")
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
STATES = yaml.safe_load((PROJECT / "statemachine" / "pipeline.asl.yaml").read_text())["States"]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == kind}


ALARMS = of_type("AWS::CloudWatch::Alarm")
FILTERS = of_type("AWS::Logs::MetricFilter")
WIDGETS = json.loads(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])["widgets"]


def name_of(metric: Any) -> str:
    """Return a metric's name without the stack's."""
    return str(metric["Fn::Sub"] if isinstance(metric, dict) else metric).removeprefix("${AWS::StackName}-")


def watched(alarm: dict[str, Any]) -> set[tuple[str, str]]:
    if "MetricName" in alarm:
        return {(alarm["Namespace"], name_of(alarm["MetricName"]))}
    metrics = [one["MetricStat"]["Metric"] for one in alarm["Metrics"] if "MetricStat" in one]
    return {(metric["Namespace"], metric["MetricName"]) for metric in metrics}


def emitted() -> dict[str, set[str]]:
    """Return what each function's code says it emits; an f-string's expressions as ``*``."""
    result = {}
    for handler in (PROJECT / "functions").glob("*/app.py"):
        names = re.findall(r'add_metric\(\s*name=f?"([^\n]*?)",', handler.read_text())
        result[handler.parent.name] = {re.sub(r"\{.*?\}", "*", name) for name in names}
    return result


def test_each_fault_is_watched() -> None:
    assert {metric for alarm in ALARMS.values() for metric in watched(alarm)} == {
        ("AWS/States", "ExecutionsFailed"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
        ("AWS/Lambda", "Errors"),
        ("AWS/ApiGateway", "5XXError"),
        ("AWS/ApiGateway", "Latency"),
        ("P300", "recordings-in-quarantine"),
        ("P300", "plots-failed"),
        ("P300", "trackings-failed"),
        ("P300", "ModelUnavailable"),
    }


def test_failed_executions_of_both_state_machines_are_watched() -> None:
    of = {
        one["Dimensions"][0]["Value"]["Ref"] for one in ALARMS.values() if one.get("MetricName") == "ExecutionsFailed"
    }
    assert of == set(of_type("AWS::Serverless::StateMachine"))


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_reaches_people_and_silence_is_none(name: str) -> None:
    alarm = ALARMS[name]
    assert alarm["AlarmActions"] == [{"Ref": "NotificationsTopic"}]
    assert alarm["TreatMissingData"] == "notBreaching"
    assert alarm["AlarmDescription"].endswith(".")


def test_errors_of_every_function_count() -> None:
    metrics = [one["MetricStat"]["Metric"] for one in ALARMS["FunctionErrorsAlarm"]["Metrics"] if "MetricStat" in one]
    functions = {metric["Dimensions"][0]["Value"]["Ref"] for metric in metrics}
    assert functions == set(of_type("AWS::Serverless::Function"))


@pytest.mark.parametrize(("filter_name", "subject"), [
    ("QuarantineCount", "P300 recording in quarantine"),
    ("PlotsFailureCount", "P300 plots failed"),
    ("TrackingFailureCount", "P300 tracking failed"),
])  # fmt: skip
def test_what_the_chain_tells_is_counted(filter_name: str, subject: str) -> None:
    """A filter names the very state that gives the notification its subject."""
    (telling,) = [name for name, state in STATES.items() if state.get("Result") == subject]
    pattern = FILTERS[filter_name]["FilterPattern"]
    assert re.findall(r'\$\.details\.name = "([^"]+)"', pattern) == [telling]
    assert '$.type = "PassStateEntered"' in pattern
    assert (STATES[telling]["Type"], STATES[telling]["ResultPath"]) == ("Pass", "$.subject")


def test_the_state_machine_logs_what_the_filters_read() -> None:
    machine = of_type("AWS::Serverless::StateMachine")["Pipeline"]
    assert machine["Logging"]["Level"] == "ALL"
    assert {one["LogGroupName"]["Ref"] for one in FILTERS.values()} == {"PipelineLogs"}


def test_alarms_on_own_metrics_find_what_emits_them() -> None:
    counted = {name_of(one["MetricTransformations"][0]["MetricName"]) for one in FILTERS.values()}
    own = [alarm for alarm in ALARMS.values() if alarm.get("Namespace") == "P300"]
    assert {name_of(alarm["MetricName"]) for alarm in own if "Dimensions" not in alarm} == counted
    for alarm in own:
        for dimension in alarm.get("Dimensions", []):
            assert dimension["Name"] == "service"
            assert alarm["MetricName"] in emitted()[dimension["Value"]]


def dashboard_metrics() -> list[list[Any]]:
    """Return the dashboard's metrics, with "." and "..." written out."""
    result: list[list[Any]] = []
    for widget in WIDGETS:
        above: list[str] = []
        for metric in widget["properties"].get("metrics", []):
            names = [part for part in metric if isinstance(part, str)]
            if names[0] == "...":
                names = above[: len(above) - len(names) + 1] + names[1:]
            above = [above[place] if part == "." else part for place, part in enumerate(names)]
            result.append(above)
    return result


def test_the_dashboard_shows_metrics_that_functions_emit() -> None:
    counted = {name_of(one["MetricTransformations"][0]["MetricName"]) for one in FILTERS.values()}
    services = {
        one["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
        for one in of_type("AWS::Serverless::Function").values()
    }
    by_function = emitted()
    assert set(by_function) == services
    shown = [metric for metric in dashboard_metrics() if metric[0] == "P300"]
    assert len(shown) >= 5
    for metric in shown:
        if len(metric) == 2:
            assert name_of(metric[1]) in counted
        else:
            assert metric[2] == "service"
            assert any(fnmatch(metric[1], name) for name in by_function[metric[3]]), metric


def test_the_dashboard_shows_what_the_issue_is_about() -> None:
    shown = {(metric[0], metric[1]) for metric in dashboard_metrics()}
    assert {
        ("AWS/States", "ExecutionsStarted"), ("AWS/States", "ExecutionsSucceeded"), ("AWS/States", "ExecutionsFailed"),
        ("AWS/States", "ExecutionTime"), ("AWS/Lambda", "Duration"), ("AWS/Lambda", "Errors"),
        ("AWS/ApiGateway", "Latency"), ("P300", "EpochsPredicted"), ("P300", "EpochsKept"),
    } <= shown  # fmt: skip
    queries = [widget["properties"]["query"] for widget in WIDGETS if widget["type"] == "log"]
    assert any("by model_version" in query for query in queries)
    (alarms,) = [widget["properties"]["alarms"] for widget in WIDGETS if widget["type"] == "alarm"]
    assert {re.sub(r"\W|Arn$", "", arn.removesuffix(".Arn}")) for arn in alarms} == set(ALARMS)


def test_the_dashboard_names_nothing_that_is_not_there() -> None:
    names = re.findall(r"\$\{([\w:]+)(?:\.\w+)?\}", RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    assert {name for name in names if not name.startswith("AWS::")} <= set(RESOURCES)


def test_an_address_is_told_only_where_one_is_given() -> None:
    (subscription,) = of_type("AWS::SNS::Subscription").values()
    assert subscription["Endpoint"] == {"Ref": "AlarmEmail"}
    assert RESOURCES["NotificationsEmail"]["Condition"] == "HasAlarmEmail"
    pattern = re.compile(TEMPLATE["Parameters"]["AlarmEmail"]["AllowedPattern"])
    assert pattern.fullmatch("")
    assert pattern.fullmatch("somebody@example.org")
    assert not pattern.fullmatch("somebody")

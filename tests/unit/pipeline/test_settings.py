"""Settings: each function gets the variables that it reads, and one that is missing or malformed is named at its start."""

import dataclasses

import pytest
from p300_pipeline import settings
from p300_pipeline.settings import IngestionSettings, Settings, SettingsError

from tests.support.functions import ENVIRONMENT, Load
from tests.support.template import FUNCTIONS

BY_LAMBDA = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE"}
KINDS = {kind.__name__.removesuffix("Settings"): kind for kind in Settings.__subclasses__()}
FILLED = {
    "P300_LANDING_BUCKET": "landing",
    "P300_RAW_BUCKET": "raw",
    "P300_PREPROCESSING": "",
    "P300_WAIT_FOR_FILES_S": "7.5",
}


def test_every_function_has_settings_of_its_own() -> None:
    assert {f"{name}Function" for name in KINDS} == FUNCTIONS.keys()


@pytest.mark.parametrize("name", KINDS)
def test_the_template_sets_what_a_function_reads_and_nothing_else(name: str) -> None:
    given = set(FUNCTIONS[f"{name}Function"]["Environment"]["Variables"]) - {"POWERTOOLS_SERVICE_NAME"}
    assert given == KINDS[name].variables() - BY_LAMBDA


def test_values_are_read_as_what_they_are() -> None:
    found = IngestionSettings.from_environment(FILLED)
    assert dataclasses.astuple(found) == ("landing", "raw", "", 7.5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"P300_RAW_BUCKET": None}, "P300_RAW_BUCKET is not set"),
        ({"P300_RAW_BUCKET": ""}, "P300_RAW_BUCKET is empty"),
        ({"P300_PREPROCESSING": None}, "P300_PREPROCESSING is not set"),
        ({"P300_WAIT_FOR_FILES_S": "soon"}, "P300_WAIT_FOR_FILES_S is 'soon'; expected a number"),
    ],
)
def test_what_is_missing_or_malformed_is_named(change: dict[str, str | None], told: str) -> None:
    environment = {name: value for name, value in (FILLED | change).items() if value is not None}
    with pytest.raises(SettingsError, match=told):
        IngestionSettings.from_environment(environment)


@pytest.mark.parametrize("name", KINDS)
def test_a_function_fails_at_its_start_where_a_variable_is_missing(
    name: str, load_function: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = sorted(KINDS[name].variables())
    for missing in needed:
        monkeypatch.delenv(missing, raising=False)
        with pytest.raises(settings.SettingsError, match=missing):
            load_function(name.lower(), **{one: ENVIRONMENT[one] for one in needed if one != missing})

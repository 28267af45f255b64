"""Settings: what the environment says, and what holds where it says nothing."""

import dataclasses
import re
from pathlib import Path

import pytest
from p300_pipeline.settings import Settings


def test_defaults() -> None:
    settings = Settings.from_environment({})
    assert (settings.model_kind, settings.retrain_every) == ("ensemble", 5)
    assert (settings.wandb_mode, settings.wandb_project, settings.wandb_key_parameter) == (
        "offline",
        "p300-bci-mlops",
        "",
    )


def test_every_setting_can_be_set() -> None:
    source = (Path(__file__).parents[3] / "layers/pipeline/python/p300_pipeline/settings.py").read_text()
    variables = re.findall(r'environ\.get\("(\w+)"', source)
    settings = Settings.from_environment(dict.fromkeys(variables, "7"))
    assert len(variables) == len(dataclasses.fields(Settings))
    assert set(dataclasses.astuple(settings)) == {"7", 7}


def test_a_number_that_is_none() -> None:
    with pytest.raises(ValueError, match="five"):
        Settings.from_environment({"P300_RETRAIN_EVERY": "five"})

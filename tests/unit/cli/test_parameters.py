"""`p300 deploy --parameter`: names and values are looked at before anything is deployed."""

import pytest
from p300.errors import P300Error
from p300_cli.deploy import read_template
from p300_cli.main import app
from p300_cli.parameters import parse
from typer.testing import CliRunner

from tests.support.paths import PROJECT

DECLARED = read_template(PROJECT / "template.yaml")["Parameters"]


def test_what_the_template_takes_is_taken() -> None:
    stated = [
        "RetrainEvery=3", "ModelKind=lda", "WaitForFiles=0", "LogRetentionDays=7", "AlarmEmail=", 'Preprocessing={"h_freq": 15}',
        "CorsOrigin=https://speller.example.org", "SnapStart=on",
    ]  # fmt: skip
    assert parse(stated, DECLARED) == dict(pair.split("=", 1) for pair in stated)


def test_every_default_is_taken() -> None:
    defaults = [f"{name}={one['Default']}" for name, one in DECLARED.items()]
    assert len(parse(defaults, DECLARED)) == len(DECLARED)


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ("RetrainEvery", "expected Name=Value"),
        ("RetrainEvry=3", "did you mean RetrainEvery?"),
        ("Colour=red", "there are BucketPrefix, Preprocessing"),
        ("RetrainEvery=0", "a whole number of at least 1 expected"),
        ("RetrainEvery=many", "'many' was found"),
        ("WaitForFiles=86401", "of at least 0 and at most 86400"),
        ("ModelKind=svm", "one of ensemble, xdawn_ts, lda, ridge"),
        ("LogRetentionDays=8", "one of 1, 3, 5"),
        ("BucketPrefix=My_Bucket", "what fits"),
        ('Preprocessing={"h_freq": "fast"}', "h_freq"),
        ('Preprocessing={"hfreq": 15}', "hfreq"),
        ("Preprocessing={", "Preprocessing"),
    ],
)
def test_anything_else_is_refused_before_a_target_is_looked_for(
    stated: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p300_cli.targets.local", lambda: pytest.fail("looked for a target"))
    done = CliRunner().invoke(app, ["deploy", "--parameter", stated])
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.split())


def test_two_values_of_one_parameter_are_refused() -> None:
    with pytest.raises(P300Error, match="given twice"):
        parse(["RetrainEvery=3", "RetrainEvery=4"], DECLARED)

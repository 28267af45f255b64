"""`p300 decode` says which speller layout it decodes with, and who says so."""

from types import SimpleNamespace

import pytest
from p300_cli.main import app
from p300_client.sessions import Screen, screen
from typer.testing import CliRunner


@pytest.mark.parametrize(
    ("arguments", "asked", "said"),
    [([], False, "from its sidecar"), (["--layout", "speller"], True, "as requested")],
)
def test_the_layout_is_named_with_its_source(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], asked: bool, said: str
) -> None:
    usual = screen("speller")
    own = Screen(usual.layout, usual.stated, "from its sidecar")
    monkeypatch.setattr("p300_cli.targets.current", lambda: None)
    monkeypatch.setattr("p300_client.simulating.manifest_of_recording", lambda *_: {"version": "v1"})
    monkeypatch.setattr("p300_client.simulating.requests_to", lambda *_: None)
    monkeypatch.setattr(
        "p300_client.sessions.read",
        lambda _target, name, _manifest, shown: SimpleNamespace(shown=shown if asked else own, name=name),
    )
    monkeypatch.setattr("p300_client.decoding.decode", lambda *_: {})
    monkeypatch.setattr("p300_cli.decoded.show", lambda *_, **__: None)
    done = CliRunner().invoke(app, ["decode", "subject_01/run_01", *arguments])
    assert done.exit_code == 0, done.output
    assert f"speller layout of 36 symbols: {said}" in done.stderr

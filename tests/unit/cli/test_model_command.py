"""`p300 models show`: the figures of a version beside the reference, its promotions, and its pictures."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from p300.evaluation import headline
from p300.signals import Parameters
from p300_cli.following import tell_what_was_used
from p300_cli.model_details import show_model
from p300_pipeline.registry import Registry
from p300_pipeline.steps import training
from p300_pipeline.steps.reporting import draw_pictures
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES, MODELS
from tests.support.features import MADE_WITH


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store, MODELS)


@pytest.fixture
def trained(store: Store, registry: Registry, put_features: Callable[..., Any]) -> Callable[[int], str]:
    """trained(3): the version of a champion trained on that many people."""

    def train(n_people: int) -> str:
        for number in range(1, n_people + 1):
            put_features(f"subject_{number:02d}/run")
        request = training.TrainingRequest("ridge")
        started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        made_with = Parameters.from_dict(MADE_WITH)
        version = training.train(
            store, FEATURES, MODELS, request, made_with, execution="a", started=started, memory_mb=3008
        )["version"]
        training.promote(store, MODELS, version, execution="a")
        draw_pictures(store, MODELS, version)
        return str(version)

    return train


def test_what_a_person_sees(
    registry: Registry, trained: Callable[[int], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = trained(3)
    pictures = show_model(registry, "champion", tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in pictures] == [
        f"{version}/{name}.png" for name in ("calibration", "learning_curve", "subjects")
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    shown = capsys.readouterr().out
    figures = headline(registry.manifest(version)["metrics"])
    for text in (
        f"{version} champion",
        "ridge, trained 2026-01-02",
        "plain LDA, the reference",
        "labels shuffled: must be at chance",
        "random split of pooled epochs: optimistic",
        "taken for Target",
        "There was no champion.",
        f"{figures['auc_mean']:.3f}",
        f"{figures['auc_reference_lda']:.3f}",
        *(str(path) for path in pictures),
    ):
        assert text in shown
    assert [line for line in shown.splitlines() if "subject_02" in line and line.count(".") >= 6]


def test_what_was_left_out_is_named_with_its_reason(
    registry: Registry,
    trained: Callable[[int], str],
    put_features: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    put_features("subject_07/copy", features=put_features("subject_01/run"))
    for number in range(12):
        put_features(f"subject_08/{number:02d}", labels=(1, 1))
    version = trained(3)
    show_model(registry, version, tmp_path)
    shown = " ".join(capsys.readouterr().out.split())
    assert "left out: subject_07/copy: holds the same epochs as subject_01/run, which is trained on" in shown
    assert "left out: subject_08/08: 0 Target and 60 NonTarget epochs" in shown
    assert "subject_08/09" not in shown
    assert "left out: 3 more; `p300 models show VERSION --json` names all" in shown
    assert (
        "one person: subject_01, subject_07 have recordings in common, and are left out of training together" in shown
    )


@pytest.mark.parametrize("output", [{}, [], "x", None, {"training": None}, {"outcome": "features"}])
def test_executions_without_a_training_tell_of_none(output: Any, capsys: pytest.CaptureFixture[str]) -> None:
    tell_what_was_used(output)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("inside", [True, False])
def test_an_execution_that_trained_tells_what_it_left_out(inside: bool, capsys: pytest.CaptureFixture[str]) -> None:
    details = {"left_out": [{"recording": "a/b", "reason": "why"}], "n_left_out": 31, "one_person": [["a", "c"]]}
    tell_what_was_used({"training": details} if inside else details)
    told = capsys.readouterr().err
    for text in ("left out: a/b: why", "left out: 21 more", "one person: a, c have"):
        assert text in told


def test_one_person_is_said_to_be_one(
    registry: Registry, trained: Callable[[int], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(1)
    assert [path.name for path in show_model(registry, "champion", tmp_path)] == ["calibration.png", "subjects.png"]
    shown = capsys.readouterr().out
    assert "One subject only (subject_01)" in shown
    assert "block_3" in shown


def test_for_a_script(
    registry: Registry, trained: Callable[[int], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = trained(2)
    registry.keep_evaluation(version, {"overall": None})
    pictures = show_model(registry, version, tmp_path, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert (document["version"], document["aliases"]) == (version, ["champion", "challenger"])
    assert document["pictures"] == [str(path) for path in pictures]
    assert document["history"][0]["version"] == version
    assert document["evaluation"] == {"overall": None}


def test_a_version_whose_manifest_lists_its_pictures_shows_those_that_are_as_they_were(
    store: Store,
    registry: Registry,
    trained: Callable[[int], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manifest, version = registry.manifest(trained(1)), "v20250101000000"
    pictures = {f"{name}.png": (name.encode(), "image/png") for name in ("calibration", "subjects", "lost")}
    registry.publish(version, "f", pictures, manifest | {"version": version})
    store.put(MODELS, f"{version}/calibration.png", b"altered")
    store.delete(MODELS, f"{version}/lost.png")
    (shown,) = show_model(registry, version, tmp_path)
    assert (shown.name, shown.read_bytes()) == ("subjects.png", b"subjects")
    told = capsys.readouterr().err
    assert "calibration.png" in told
    assert "lost.png" in told


def test_no_such_version(registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        show_model(registry, "v20200101000000", tmp_path)
    assert "`p300 models` lists the versions" in capsys.readouterr().err

"""`p300 models show`: the figures of a version beside the reference, its promotions, and its pictures."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from p300.evaluation import headline
from p300_cli.model import show_model
from p300_pipeline.registry import Registry
from p300_pipeline.steps import training
from p300_pipeline.steps.reporting import draw_pictures
from p300_pipeline.storage import Store

FEATURES, MODELS = "p300-processed-features", "p300-models"


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
        version = training.train(store, FEATURES, MODELS, request, execution="a", started=started)["version"]
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

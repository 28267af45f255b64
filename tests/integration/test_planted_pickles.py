"""Pickles in the place of a recording and of a model, on the real services.

tests/unit/pipeline/test_hostile_input.py goes through every place.
"""

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from p300_pipeline.registry import Registry
from p300_pipeline.storage import Store

from tests.support.localstack import Stack

pytestmark = [pytest.mark.localstack, pytest.mark.filterwarnings("ignore:.*pickle.*")]
PLANTED = "v20990101000000"
LANDED = {"pkl": "pickle", "joblib": "pickle", "npz": "npz", "mat": "pickle", "set": "npy", "parquet": "npz"}


@pytest.fixture
def registry(stack: Stack, champion: str) -> Iterator[Registry]:
    """The registry, which is afterwards as it was."""
    registry = Registry(Store(stack.s3), stack.models)
    yield registry
    registry.set_alias("champion", champion)
    registry.discard(PLANTED)
    registry.store.delete(stack.models, f"trainings/{PLANTED}")


def test_they_leave_no_mark(
    stack: Stack, champion: str, registry: Registry, marked: tuple[Path, dict[str, bytes]]
) -> None:
    path, bodies = marked
    # Whatever comes behind a pickle or a zip file is no part of it, and tells these apart by their ETags.
    landed = stack.land(*[(f"subject_97/x.{end}", bodies[wrapping] + end.encode()) for end, wrapping in LANDED.items()])
    assert {execution.output["outcome"] for execution in landed.values()} == {"quarantined"}
    artifacts = {"model.npz": (bodies["npz"], ""), "model.joblib": (bodies["pickle"], "")}
    manifest = registry.manifest(champion)
    registry.publish(
        PLANTED,
        PLANTED,
        artifacts,
        {k: v for k, v in manifest.items() if k not in ("version", "artifacts", "fingerprint")},
    )
    registry.set_alias("champion", PLANTED)
    epoch = {"features": [0.0] * len(manifest["channels"]) * manifest["n_times"]}
    refused = stack.api.ask("POST", f"/predict?alias={PLANTED}", epoch)
    assert refused.status == 404
    assert "is not an npz file of plain arrays" in refused.body["error"]["message"]
    assert stack.api.ask("POST", "/predict", epoch).status == 200  # the one before answers
    assert not path.exists()
    pickle.loads(bodies["pickle"] + b"pkl")  # noqa: S301
    assert path.is_dir(), "what was planted leaves a mark"

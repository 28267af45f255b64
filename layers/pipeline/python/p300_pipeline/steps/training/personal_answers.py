"""What the steps that make personal models write to manifests alike, and answer."""

from collections.abc import Mapping
from typing import Any, cast

from p300_pipeline.contracts import PersonalResult

KIND = "personal"


def stands_on(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a personal model's manifest has of the model that it stands on: which features it takes."""
    always, where_stated = ("channels", "sfreq", "n_times", "tmin"), ("tmax", "preprocessing", "features_made_by")
    return {name: manifest[name] for name in always} | {
        name: manifest[name] for name in where_stated if name in manifest
    }


def answer(manifest: Mapping[str, Any], outcome: Any, **facts: Any) -> PersonalResult:
    """Return what became of a version."""
    metrics = manifest["metrics"]
    found = {
        "outcome": outcome,
        "version": manifest["version"],
        "subject": manifest["subjects"][0],
        "population": manifest["population"]["version"],
        "n_recordings": len(manifest["recordings"]),
        "n_sessions": len(manifest.get("sessions", ())),
        "n_epochs": manifest["n_epochs"],
        "auc_population": metrics["auc_population"],
        "auc_personal": metrics["auc_personal"],
        "n_flashes": metrics["n_flashes"],
        **facts,
    }
    return cast(PersonalResult, found)


def no_model(subject: str, why: str) -> PersonalResult:
    """Answer that there is nothing to make a personal model of, or to stand on."""
    return {"outcome": "none", "subject": subject, "why": why}


def refused(subject: str, why: str, session: dict[str, Any] | None = None) -> PersonalResult:
    """Answer that a session was not learnt from, and that nothing changed."""
    found: PersonalResult = {"outcome": "refused", "subject": subject, "why": why}
    if session:
        found["learned_from_use"] = session
    return found

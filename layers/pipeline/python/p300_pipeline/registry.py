"""Model versions, their manifests, and the aliases that say which one serves.

Layout of the models bucket::

    <version>/request.json            which execution claimed the version, and for what; written first
    <version>/model.npz, model.joblib artifacts
    <version>/manifest.json           written last: a version without it does not exist
    <version>/evaluation.json         metrics of recordings scored through inference; written later
    <version>/promotion.json          whether it was promoted when it was new, and why; written after that
    <version>/*.png                   its plots, drawn last; older versions list theirs in the manifest
    index.json                        a row for each version, for lists; see `p300_pipeline.model_index`
    trainings/<fingerprint>           version that a set of recordings and settings led to
    spread/<version>/...              what the functions of a training hand to each other; see `p300_pipeline.steps.training.spread`
    aliases/champion, challenger      a version each
    aliases/champion_<group>          the champion of another montage; see `p300_pipeline.montage_groups`
    aliases/montages.json             the channels of each montage that has a champion; written before its alias
    aliases/history.json              every promotion, newest last; written after the alias, if need be by the next promotion
    aliases/history_champion_<group>.json  the same of another montage
    <subject>/<version>/...           a subject's personal models; they are in no list of all models (see `p300_pipeline.personal_models`)
    aliases/<subject>                 the personal model that serves, or <subject>_<group> for another montage; with a history each
    active_model_pointer.txt          equals the champion
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from p300.errors import ArtifactError
from p300.json_text import is_number

from p300_pipeline.aliases import ALIASES, PERSONAL_VERSION, POINTER_KEY, VERSION
from p300_pipeline.documents import Check, is_count, is_text, is_texts, parse, require
from p300_pipeline.model_index import update_index
from p300_pipeline.promotions import HISTORY_KEY, Promotions
from p300_pipeline.storage import NotFoundError, PreconditionError

__all__ = ["ALIASES", "HISTORY_KEY", "POINTER_KEY", "VERSION", "Claim", "Registry"]

MANIFEST_FORMAT = 1
EVALUATION, PROMOTION = "evaluation.json", "promotion.json"


def _by_name(holds: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(holds(one) for one in value.values())


def _with_text(field: str) -> Check:
    return lambda value: isinstance(value, dict) and isinstance(value.get(field), str)


_MANIFEST: dict[str, Check] = {
    "version": is_text, "kind": is_text, "created": is_text, "execution": is_text,
    "channels": lambda value: is_texts(value) and bool(value), "n_times": is_count, "n_epochs": is_count,
    "sfreq": is_number, "tmin": is_number, "subjects": is_texts, "held_out": is_texts,
    "recordings": lambda value: isinstance(value, list) and all(map(_with_text("recording"), value)),
    "metrics": lambda value: isinstance(value, dict), "artifacts": _by_name(_with_text("sha256")),
}  # fmt: skip
"""Fields of a manifest that the code reads, each with its check."""
_MAX_IN_A_SECOND = 1000
_WRONG_CLOCK = timedelta(minutes=5)


@dataclass(frozen=True)
class Claim:
    """A version's name, and whether this execution owns it or another training of the same things came first."""

    version: str
    finished: bool


class Registry(Promotions):
    """The models bucket.

    Parameters
    ----------
    store : Store
        S3 access.
    bucket : str
        Name of the models bucket.
    """

    # -- reading
    def versions(self) -> list[str]:
        """Return the finished versions, oldest first."""
        keys = (item.key for item in self.store.list(self.bucket, "v"))
        return sorted(key.removesuffix("/manifest.json") for key in keys if key.endswith("/manifest.json"))

    def manifest(self, version: str) -> dict[str, Any]:
        """Return a version's manifest.

        Raises
        ------
        ArtifactError
            If there is none, or it is incomplete or of a format that this code does not know.
        """
        try:
            body, _ = self.store.get(self.bucket, f"{version}/manifest.json")
        except NotFoundError as error:
            raise ArtifactError(
                "no_manifest", f"Model {version} has no manifest.json in s3://{self.bucket}."
            ) from error
        name = f"The manifest of model {version}"
        manifest: dict[str, Any] = parse(body, name, dict, "bad_manifest")
        if manifest.get("format") != MANIFEST_FORMAT:
            raise ArtifactError(
                "unknown_format",
                f"{name} has format {manifest.get('format')!r}; this code reads format {MANIFEST_FORMAT}. "
                "Deploy the code that wrote it, or promote another version.",
            )
        require(manifest, _MANIFEST, name, "bad_manifest")
        return manifest

    def artifact(self, version: str, name: str, manifest: Mapping[str, Any]) -> bytes:
        """Return an artifact's bytes, checked against the manifest's SHA-256.

        Raises
        ------
        ArtifactError
            If it is missing or its bytes are not those that were written.
        """
        expected = manifest.get("artifacts", {}).get(name, {}).get("sha256")
        if not expected:
            raise ArtifactError("unlisted_artifact", f"The manifest of model {version} lists no {name}.")
        try:
            body, _ = self.store.get(self.bucket, f"{version}/{name}")
        except NotFoundError as error:
            raise ArtifactError(
                "missing_artifact",
                f"Model {version} has lost its {name}. Restore s3://{self.bucket}/{version}/{name}, or promote another version: "
                "`p300 promote VERSION`, or `p300 promote --rollback`.",
            ) from error
        found = hashlib.sha256(body).hexdigest()
        if found != expected:
            raise ArtifactError(
                "altered_artifact",
                f"{name} of model {version} has SHA-256 {found[:12]}..., its manifest says {expected[:12]}...; it is not loaded.",
            )
        return body

    def evaluation(self, version: str) -> dict[str, Any] | None:
        """Return what came of scoring recordings through inference, or None where that was not done."""
        try:
            body, _ = self.store.get(self.bucket, f"{version}/{EVALUATION}")
        except NotFoundError:
            return None
        found: dict[str, Any] = parse(body, f"The evaluation of model {version}", dict)
        return found

    def is_finished(self, version: str) -> bool:
        """Say whether a version was evaluated, considered for promotion and drawn: where an execution was stopped, it was not."""
        folder = f"{version}/"
        names = {item.key.removeprefix(folder) for item in self.store.list(self.bucket, folder)}
        return {EVALUATION, PROMOTION} <= names and any(map(_is_picture, names))

    def pictures(self, version: str, manifest: Mapping[str, Any]) -> list[str]:
        """Return the names of a version's pictures: those that stand in its folder, and those that its manifest lists."""
        folder = f"{version}/"
        names = {item.key.removeprefix(folder) for item in self.store.list(self.bucket, folder)}
        return sorted(name for name in names | set(manifest["artifacts"]) if _is_picture(name))

    def picture(self, version: str, name: str, manifest: Mapping[str, Any]) -> bytes:
        """Return a picture's bytes, checked where the manifest lists it.

        Raises
        ------
        ArtifactError
            If there is no such picture, or it is not the one that the manifest lists.
        """
        if name in manifest["artifacts"]:
            return self.artifact(version, name, manifest)
        if name not in self.pictures(version, manifest):
            raise ArtifactError("missing_artifact", f"Model {version} has no picture {name}.")
        return self.store.get(self.bucket, f"{version}/{name}")[0]

    def version_of_training(self, fingerprint: str) -> str | None:
        """Return the version that a training with this fingerprint led to, if there is one and it was not deleted."""
        try:
            version = self.store.get(self.bucket, f"trainings/{fingerprint}")[0].decode(errors="replace")
            self.store.head(self.bucket, f"{version}/manifest.json")
        except NotFoundError:
            return None
        return version

    # -- writing
    def claim(self, execution: str, fingerprint: str, started: datetime, folder: str = "") -> Claim:
        """Reserve a version name for one training.

        The name is the execution's start, so that a retry of the same execution gets the same name, or the next free second if another
        training started in the same one. If an alias holds a version from the future because a clock was wrong, the name comes after it:
        versions are compared by name, and no other could replace it. A version in a `folder`, such as ``subject_07/``, is a subject's.
        """
        if version := self.version_of_training(fingerprint):
            return Claim(version, finished=True)
        claim = json.dumps({"execution": execution, "fingerprint": fingerprint}).encode()
        soon = datetime.now(UTC) + _WRONG_CLOCK
        held = [time for time in map(_started, self.aliases()[0].values()) if time and time > soon]
        started = max([started, *(time + timedelta(seconds=1) for time in held)])
        for second in range(_MAX_IN_A_SECOND):
            version = folder + (started.astimezone(UTC) + timedelta(seconds=second)).strftime("v%Y%m%d%H%M%S")
            try:
                self.store.put(
                    self.bucket, f"{version}/request.json", claim, content_type="application/json", if_absent=True
                )
            except PreconditionError:
                if self.store.get(self.bucket, f"{version}/request.json")[0] != claim:
                    continue
            return Claim(version, finished=False)
        raise RuntimeError(f"{_MAX_IN_A_SECOND} versions from {started:%Y-%m-%d %H:%M:%S} on are taken")

    def publish(
        self, version: str, fingerprint: str, artifacts: Mapping[str, tuple[bytes, str]], manifest: dict[str, Any]
    ) -> Claim:
        """Write artifacts, then the manifest, then the training's fingerprint.

        Parameters
        ----------
        version : str
            A version claimed by this execution.
        fingerprint : str
            Identity of what was trained on and how.
        artifacts : mapping of str to (bytes, str)
            File name to content and content type.
        manifest : dict
            JSON-serialisable; ``format``, ``version`` and ``artifacts`` are added.

        Returns
        -------
        Claim
            With another version and ``finished=True`` if an identical training finished first.
        """
        listing = {}
        for name, (body, content_type) in artifacts.items():
            self.store.put(self.bucket, f"{version}/{name}", body, content_type=content_type)
            listing[name] = {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
        document = {
            "format": MANIFEST_FORMAT,
            "version": version,
            "fingerprint": fingerprint,
            **manifest,
            "artifacts": listing,
        }
        body = json.dumps(document, indent=1).encode()
        self.store.put(self.bucket, f"{version}/manifest.json", body, content_type="application/json")
        try:
            self.store.put(
                self.bucket,
                f"trainings/{fingerprint}",
                version.encode(),
                content_type="text/plain",
                if_absent=True,
            )
        except PreconditionError:
            winner = self.version_of_training(fingerprint)
            if winner is None:  # it names a version that was deleted
                self.store.put(self.bucket, f"trainings/{fingerprint}", version.encode(), content_type="text/plain")
            elif winner != version:
                self.discard(version)
                return Claim(winner, finished=True)
        if not PERSONAL_VERSION.fullmatch(version):
            update_index(self)
        return Claim(version, finished=False)

    def keep_evaluation(self, version: str, evaluation: Mapping[str, Any]) -> None:
        """Write the metrics of recordings scored through inference; a repetition replaces them."""
        body = json.dumps(evaluation, indent=1).encode()
        self.store.put(self.bucket, f"{version}/{EVALUATION}", body, content_type="application/json")

    def keep_decision(self, version: str, decision: Mapping[str, Any]) -> None:
        """Write whether a version was promoted, and why; a repetition replaces it."""
        body = json.dumps(decision, indent=1).encode()
        self.store.put(self.bucket, f"{version}/{PROMOTION}", body, content_type="application/json")

    def keep_picture(self, version: str, name: str, picture: bytes) -> None:
        """Write a plot beside a model; a repetition replaces it."""
        self.store.put(self.bucket, f"{version}/{name}", picture, content_type="image/png")

    def discard(self, version: str) -> None:
        """Remove a version that lost against an equal one; its manifest first, so that it is never seen torn."""
        self.store.delete(self.bucket, f"{version}/manifest.json")
        for item in list(self.store.list(self.bucket, f"{version}/")):
            self.store.delete(self.bucket, item.key)
        update_index(self)


def _is_picture(name: str) -> bool:
    return name.endswith(".png") and "/" not in name


def _started(version: str | None) -> datetime | None:
    """Return the time that a version is named after, or None where it is named after none."""
    try:
        return datetime.strptime(version or "", "v%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None

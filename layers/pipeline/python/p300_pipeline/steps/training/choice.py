"""Which recordings a training uses: whose, made alike, of one montage group, with epochs of both classes, each content once."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from p300.errors import ArtifactError, TrainingError
from p300.features import FeatureSet, read_features, stored_shape
from p300.likeness import sketch
from p300.models import fitted_epochs
from p300.montages import fitted, key_of, missing, name_of, why_not_interpolated
from p300.recording import SYNTHETIC, TARGET
from p300.signals.parameters import Parameters

from p300_pipeline import provenance, synthetic
from p300_pipeline.documents import parse
from p300_pipeline.feature_store import UNLABELLED, find_features, subject_of
from p300_pipeline.making.model import Downloaded
from p300_pipeline.registry import Registry
from p300_pipeline.steps.training import montage
from p300_pipeline.steps.training.fit import other_recipe, recipe_of
from p300_pipeline.steps.training.limits import MOST_FITTED_EPOCHS, Limits, Shape, drawn, too_long
from p300_pipeline.steps.training.people import People
from p300_pipeline.steps.training.request import TrainingRequest
from p300_pipeline.storage import NotFoundError, Store, sha256_hex

Channels = tuple[str, ...]
Facts = Mapping[str, Mapping[str, Any]]
RAW_FACTS, COMPANION_FACTS = (
    ("raw_key", "raw_etag", "raw_version_id", "raw_sha256"),
    ("raw_companions", "raw_companion_versions"),
)
RECOMPUTE = "`p300 backfill` recomputes features with the stack's present code"
FEWEST_OF_A_CLASS = 5
"""Fewer make no figure of a person left out: an AUC of two epochs is 0 or 1, and counts as much as anybody's."""


@dataclass
class TrainingSet:
    """The recordings a training uses, those it leaves out and why, and the subjects that it takes for one person.

    Recordings of other montage groups are not left out, but of other trainings. Where recordings lack a few channels, there are two
    ways to use them, which a kind of model is ``compared_with``. Of more subjects than a training takes, some were drawn.
    """

    ways: dict[str, Downloaded]
    compared_with: str
    montage: dict[str, Any]
    facts: dict[str, dict[str, Any]]
    left_out: list[dict[str, str]]
    other_montages: list[dict[str, str]]
    one_person: list[list[str]]
    features_libraries: dict[str, str]
    drawn_subjects: dict[str, int] | None


@dataclass
class _Candidates:
    """What was downloaded, and what turned out to be unfit on the way."""

    bucket: str
    limits: Limits
    paths: dict[str, Path] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    channels: dict[str, Channels] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)
    libraries: dict[str, dict[str, str]] = field(default_factory=dict)
    code: provenance.Code = field(default_factory=lambda: provenance.code_of(provenance.FEATURES))

    @property
    def fit(self) -> dict[str, Path]:
        """Files by recording, of those that are fit so far."""
        return {name: path for name, path in self.paths.items() if name not in self.unfit}

    def fit_shapes(self, names: Iterable[str]) -> dict[str, Shape]:
        """Return the shapes of these recordings, as far as they are fit so far."""
        return {name: self.shapes[name] for name in names if name in self.paths and name not in self.unfit}

    def download(self, store: Store, sizes: Mapping[str, int], folder: Path) -> None:
        """Download features, those that are too large excepted."""
        self.unfit |= self.limits.too_large_to_download(sizes)
        for number, name in enumerate(name for name in sizes if name not in self.unfit):
            path = folder / f"{number}.parquet"  # a recording's name may be anything
            try:
                item = store.download(self.bucket, f"{name}/features.parquet", path)
            except NotFoundError:
                self.unfit[name] = "its features were deleted while the training began"
                continue
            self.paths[name] = path
            self.facts[name] = {"features_etag": item.etag}

    def look(self, parameters: Parameters) -> None:
        """Read each once, and find out what it is."""
        for name, path in self.fit.items():
            address = f"s3://{self.bucket}/{name}/features.parquet"
            try:
                self.shapes[name] = stored_shape(path, name=address)
                if reason := self.limits.too_large_to_read(self.shapes[name]):
                    self.unfit[name] = reason
                    continue
                features = read_features(path, name=address)
                self.libraries[name] = _parsed(features.provenance, "libraries", address)
                self.facts[name] |= raw_versions(features.provenance, address)
            except ArtifactError as error:
                self.unfit[name] = error.message
                continue
            self.channels[name] = features.ch_names
            self.facts[name] |= {"features_sha256": sha256_hex(path), "raw": raw_identity(features.provenance)}
            if SYNTHETIC in features.notes:
                self.facts[name]["synthetic"] = True
            if not features.labelled:
                self.unfit[name] = UNLABELLED
                continue
            n_targets = int(np.sum(features.label == TARGET))
            n_non_targets = len(features.label) - n_targets
            if min(n_targets, n_non_targets) < FEWEST_OF_A_CLASS:
                self.unfit[name] = (
                    f"{n_targets} Target and {n_non_targets} NonTarget epochs; at least {FEWEST_OF_A_CLASS} of each are trained on"
                )
            elif reason := other_recipe(recipe_of(features), parameters.to_dict()) or _outdated(
                features, self.code.digest
            ):
                self.unfit[name] = reason

    def of_other_libraries(self, modified: Mapping[str, float]) -> None:
        """Leave out features that were made with other libraries than the stack has now.

        Those are what is installed here and, as this function has not all that make features, what the newest features were made with.
        """
        if not self.fit:
            return
        here = self.code.libraries.items()
        present = max(self.fit, key=lambda name: (here <= self.libraries[name].items(), modified[name], name))
        for name in self.fit:
            if self.libraries[name] != self.libraries[present]:
                made, wanted = (
                    provenance.in_words(self.libraries[one]) or "libraries unknown" for one in (name, present)
                )
                self.unfit[name] = f"made with {made}; expected {wanted}. {RECOMPUTE}"


def choose(
    store: Store,
    registry: Registry,
    bucket: str,
    request: TrainingRequest,
    parameters: Parameters,
    *,
    folder: Path,
    memory_mb: int,
) -> TrainingSet:
    """Download the features that a request asks for, and leave out what cannot be trained on.

    Parameters
    ----------
    store : Store
        S3 access.
    registry : Registry
        Whose champions say which montage groups there are.
    bucket : str
        The features bucket.
    request : TrainingRequest
        Whose recordings.
    parameters : Parameters
        The stack's preprocessing; features made with any other are left out.
    folder : Path
        Where the features are kept while they are trained on.
    memory_mb : int
        Memory of this process.

    Raises
    ------
    TrainingError
        If nothing is left, or a named subject has no features.
    """
    present = find_features(store, bucket)
    eligible = _wanted_subjects(sorted({subject_of(name) for name in present}), request)
    wanted = drawn(eligible, request.seed)
    names = [name for name in sorted(present) if subject_of(name) in wanted]
    if not names:
        raise TrainingError(
            "no_recordings", f"There are no features in s3://{bucket} to train on. Land recordings first."
        )
    held_out = [name for name in sorted(present) if subject_of(name) in request.held_out]
    found = _Candidates(bucket, Limits.of(folder, memory_mb))
    found.download(store, {name: present[name].size for name in [*names, *held_out]}, folder)
    found.look(parameters)
    found.of_other_libraries({name: item.modified for name, item in present.items()})
    channels = {name: found.channels[name] for name in names if name in found.fit}
    if not channels:
        raise _nothing_left(names, found.unfit)
    chosen = montage.plan(registry, request, channels)
    found.unfit |= chosen.left_out
    members = [name for name in names if name in found.fit]
    found.unfit |= dict.fromkeys(synthetic.beside_measured(members, found.facts), synthetic.LEFT_OUT)
    shared = chosen.common or chosen.wanted
    for name in held_out:
        if name in found.fit and (
            missing(found.channels[name], shared)
            if chosen.common
            else why_not_interpolated(found.channels[name], shared)
        ):
            found.unfit[name] = "its montage cannot be compared with those that are trained on"
    found.unfit |= found.limits.too_many_epochs(found.fit_shapes(found.fit))
    sketches = {
        name: sketch(fitted(read_features(path, verify=False), shared, name).epochs) for name, path in found.fit.items()
    }
    people = People(sketches, request.held_out)
    found.unfit |= people.unfit(name for name in names if name in found.fit)
    found.unfit |= found.limits.too_many_of_a_person(found.fit_shapes(names), people.person_of)
    n_people = len({people.person_of(name) for name in found.fit_shapes(names)})
    found.unfit |= too_long(found.fit_shapes(names), partial(fitted_epochs, request.model, n_people))
    left_out = [
        {"recording": name, "reason": found.unfit[name]}
        for name in names
        if name in found.unfit and name not in chosen.of_others
    ]
    others = [{"recording": name, "reason": found.unfit[name]} for name in names if name in chosen.of_others]
    shapes = found.fit_shapes(names)
    if not shapes:
        raise _nothing_left(names, found.unfit)
    facts = {name: {**found.facts[name], "person": people.person_of(name)} for name in shapes}
    ways = {
        way: Downloaded(
            {name: found.paths[name] for name in shapes if not why_not_interpolated(found.channels[name], channels)},
            people.person_of,
            channels,
        )
        for way, channels in chosen.ways({name: found.channels[name] for name in shapes}).items()
    }
    for name in shapes:
        if lacking := missing(found.channels[name], chosen.wanted):
            facts[name]["missing_channels"] = lacking
    n_fitted = fitted_epochs(request.model, n_people, sum(n_epochs for n_epochs, _ in shapes.values()), n_evaluations=3)
    return TrainingSet(
        ways,
        request.model if n_fitted <= MOST_FITTED_EPOCHS else "lda",
        {
            "group": name_of(chosen.group),
            "channels": list(chosen.group),
            "people": len({people.person_of(name) for name in shapes if name in chosen.of_group}),
        },
        facts,
        left_out,
        others,
        people.merged(),
        found.libraries[next(iter(shapes))],
        {"n": len(wanted), "of": len(eligible), "seed": request.seed} if len(wanted) < len(eligible) else None,
    )


def _nothing_left(names: Sequence[str], unfit: Mapping[str, str]) -> TrainingError:
    left_out = [{"recording": name, "reason": unfit[name]} for name in names if name in unfit]
    return TrainingError("no_recordings", f"None of the {len(names)} recordings can be trained on: {left_out}.")


def fingerprint_of(request: TrainingRequest, facts: Facts, *, instead_of: str | None = None) -> str:
    """Return the identity of a training: what it is of, with which settings, by which code, and which version it makes up for.

    Parameters
    ----------
    request : TrainingRequest
        The settings.
    facts : mapping
        Of each recording: ``features_etag`` and ``person`` are looked at.
    instead_of : str, optional
        The version that it makes up for.
    """
    identity = {
        "model": request.model,
        "seed": request.seed,
        "held_out": request.held_out,
        **({"channels": sorted(key_of(request.channels))} if request.channels else {}),
        "recordings": sorted((name, one["features_etag"], one["person"]) for name, one in facts.items()),
        **provenance.code_of(provenance.MODEL).stated(),
        **({"instead_of": instead_of} if instead_of else {}),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def raw_identity(stated: Mapping[str, str]) -> str | None:
    """Return what tells the content that features were made of from any other; None where they do not say what they were made of."""
    if "raw_etag" not in stated:
        return None
    made_of = [stated["raw_etag"], stated.get("raw_companions")]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def raw_versions(stated: Mapping[str, str], address: str) -> dict[str, Any]:
    """Return the versions and digests of the raw files that features were made from, as far as they are stated.

    Raises
    ------
    ArtifactError
        Where they state them badly.
    """
    found: dict[str, Any] = {name: stated[name] for name in RAW_FACTS if name in stated}
    return found | {name: _parsed(stated, name, address) for name in COMPANION_FACTS if name in stated}


def _parsed(stated: Mapping[str, str], name: str, address: str) -> dict[str, Any]:
    found: dict[str, Any] = parse(stated.get(name, "{}").encode(), f"{name} of {address}", dict, "not_features")
    return found


def _outdated(features: FeatureSet, code: str) -> str | None:
    reason = provenance.other_code(features.provenance, code)
    return f"{reason}. {RECOMPUTE}" if reason else None


def _wanted_subjects(present: list[str], request: TrainingRequest) -> set[str]:
    if unknown := sorted(set(request.held_out) - set(present)):
        raise TrainingError(
            "unknown_subjects",
            f"No features for {', '.join(unknown)}, to be held out. There are: {', '.join(present) or 'none'}.",
        )
    eligible = [name for name in present if name not in request.held_out]
    if isinstance(request.subjects, tuple):
        missing = sorted(set(request.subjects) - set(eligible))
        if missing:
            raise TrainingError(
                "unknown_subjects",
                f"No features for {', '.join(missing)} that may be trained on. There are: {', '.join(eligible) or 'none'}.",
            )
        return set(request.subjects)
    n_wanted = max(1, round(request.subjects * len(eligible)))
    return set(np.random.default_rng(request.seed).permutation(eligible)[:n_wanted].tolist())

"""A training of many subjects, spread over functions: each fits or scores some of the folds, or computes a part of the evaluation.

Layout in the models bucket, below ``spread/<version>/``; it expires after a week::

    plan.json        what the training is of; written last by the step that begins it
    prepared.npz     the epochs that fits take, and statistics of each recording (`p300.models.prepared`)
    fits/<n>.npz     models without the folds of batch n, and their scores
    parts/<name>     a part of the evaluation (`p300.evaluation_parts`)
    adapted/<n>.npz  scores of batch n, adapted to each recording; they need all fits

Every item is computed from the plan alone and written once, so that it may be tried again at any time. The numbers are those of
`p300.evaluation.train` in one process, to the bit.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from p300.errors import ArtifactError, TrainingError

from p300_pipeline.contracts import SpreadResult
from p300_pipeline.documents import parse
from p300_pipeline.feature_store import features_key
from p300_pipeline.making.model import Downloaded, Made, npz
from p300_pipeline.making.threads import one_thread
from p300_pipeline.storage import NotFoundError, PreconditionError, Store

if TYPE_CHECKING:
    from p300.evaluation_parts import Subjects
    from p300.models.cross_validation import Adapted, FoldFit
    from p300.models.ensemble import Ensemble

KINDS = ("ensemble",)
"""Kinds that are spread: the others leave a subject out by a subtraction, or adapt to no recording."""


@dataclass(frozen=True)
class Spread:
    """When a training is spread over functions.

    Attributes
    ----------
    from_subjects : int
        With so many subjects or more.
    at_once : int
        How many functions compute at the same time; the folds are divided into so many batches.
    """

    from_subjects: int
    at_once: int

    def wanted(self, recordings: Downloaded, kind: str) -> bool:
        """Say whether a training is spread."""
        return kind in KINDS and _n_subjects(recordings) >= max(2, self.from_subjects)

    def n_batches(self, recordings: Downloaded) -> int:
        """Return into how many batches the folds are divided: no batch is empty."""
        return max(1, min(self.at_once, _n_subjects(recordings)))


@dataclass(frozen=True)
class Plan:
    """What a spread training is of: all that its items need to know.

    Attributes
    ----------
    kind, seed, sfreq
        Of the model.
    subjects : Subjects
        What the evaluation knows of the recordings.
    channels : list of str
        Of the model.
    etags : dict of str to str
        ETag of each recording's features.
    n_batches : int
        Into how many batches the folds are divided.
    training : dict
        What the step that finishes the training writes into the manifest, and answers.
    """

    kind: str
    seed: int
    sfreq: float
    subjects: "Subjects"
    channels: list[str]
    etags: dict[str, str]
    n_batches: int
    training: dict[str, Any]

    def model(self) -> "Ensemble":
        """Return the unfitted model."""
        from p300.evaluation_parts import make_model

        return cast("Ensemble", make_model(self.subjects, self.kind, self.seed, self.sfreq))

    def batch(self, number: int) -> set[str]:
        """Return the folds of a batch: those that follow one another, so that batches are read one after another."""
        folds = list(dict.fromkeys(self.subjects.folds().values()))
        return set(np.array_split(folds, self.n_batches)[number].tolist())


class SpreadTraining:
    """The objects of one spread training.

    Parameters
    ----------
    store : Store
        S3 access.
    bucket : str
        The models bucket.
    version : str
        The version that the training claimed.
    """

    def __init__(self, store: Store, bucket: str, version: str) -> None:
        self._store, self._bucket, self.version = store, bucket, version

    def begin(self, recordings: Downloaded, plan: Plan) -> SpreadResult:
        """Write what every item needs, the plan last.

        Parameters
        ----------
        recordings : Downloaded
            What the training is of.
        plan : Plan

        Returns
        -------
        dict
            ``outcome`` is ``spread``, with the items of the two steps that follow and how many are computed ``at_once``.
        """
        from p300.evaluation_parts import PARTS
        from p300.models.stored import pack_prepared

        with one_thread():
            self._put("prepared.npz", pack_prepared(plan.model().prepare(recordings)))
        told = asdict(plan)
        self._put("plan.json", json.dumps(told).encode())
        numbers = range(plan.n_batches)
        return {
            "outcome": "spread",
            "version": self.version,
            # The longest first, so that nothing waits for them at the end.
            "fits": [*(f"parts/{name}" for name in PARTS), *(f"fits/{number}.npz" for number in numbers)],
            "adapted": [f"adapted/{number}.npz" for number in numbers],
            "at_once": plan.n_batches,
        }

    def plan(self) -> Plan:
        """Return the plan.

        Raises
        ------
        ArtifactError
            Where it is damaged.
        TrainingError
            Where there is none any more.
        """
        from p300.evaluation_parts import Subjects

        told: dict[str, Any] = parse(self._get("plan.json"), f"The plan of training {self.version}", dict, "bad_plan")
        subjects = told.pop("subjects")
        places = tuple((name, subject, n) for name, subject, n in subjects.pop("recordings"))
        return Plan(**told, subjects=Subjects(places, **subjects))

    def compute(self, features_bucket: str, item: str) -> None:
        """Compute an item and write it, unless an earlier attempt did.

        Parameters
        ----------
        features_bucket : str
            Where the features are.
        item : str
            One of those that `begin` returned.

        Raises
        ------
        TrainingError
            ``features_changed`` where features are not those any more that the training began with, and what a fit raises.
        """
        from p300.evaluation import cannot_fit

        with suppress(NotFoundError):
            self._store.head(self._bucket, self._key(item))
            return
        plan = self.plan()
        folder, _, name = item.partition("/")
        steps: dict[str, Callable[[Plan, str, str], bytes]] = {
            "fits": self._fits,
            "adapted": self._adapted,
            "parts": self._part,
        }
        try:
            with one_thread():
                content = steps[folder](plan, features_bucket, name.removesuffix(".npz"))
        except (np.linalg.LinAlgError, ArtifactError) as error:
            raise cannot_fit(plan.kind, plan.subjects, error) from error
        self._put(item, content)

    def finish(self) -> Made:
        """Return the model and its metrics, of all items."""
        from p300.evaluation_parts import PARTS, assemble
        from p300.models.cross_validation import combine
        from p300.models.stored import unpack_adapted, unpack_fits, unpack_prepared

        plan = self.plan()
        model = plan.model()
        fits: dict[str, FoldFit] = {}
        adapted: dict[str, Adapted] = {}
        for number in range(plan.n_batches):
            fits |= unpack_fits(self._get(f"fits/{number}.npz"))
            adapted |= unpack_adapted(self._get(f"adapted/{number}.npz"))
        parts = {name: json.loads(self._get(f"parts/{name}")) for name in PARTS}
        with one_thread():
            left_out = combine(fits, adapted)
            metrics = assemble(model, plan.subjects, left_out, parts)
            model.fit_prepared(unpack_prepared(self._get("prepared.npz"))).calibrate(left_out)
        return Made(model, metrics, npz({**model.to_arrays(), **model.response_.to_arrays()}))

    def _fits(self, plan: Plan, features_bucket: str, number: str) -> bytes:
        from p300.models.cross_validation import fit_folds
        from p300.models.stored import pack_fits, unpack_prepared

        fold = plan.subjects.folds()
        prepared = unpack_prepared(self._get("prepared.npz"))
        with tempfile.TemporaryDirectory() as folder:
            own = self._download(plan, features_bucket, _of_folds(fold, plan.batch(int(number))), Path(folder))
            return pack_fits(
                fit_folds(plan.model().leave_out_prepared(prepared, own, lambda recording: fold[recording.subject]))
            )

    def _adapted(self, plan: Plan, features_bucket: str, number: str) -> bytes:
        from p300.models.cross_validation import adapt_folds, calibrations
        from p300.models.stored import pack_adapted, unpack_fits

        fold, batch = plan.subjects.folds(), plan.batch(int(number))
        fits: dict[str, FoldFit] = {}
        for other in range(plan.n_batches):
            fits |= unpack_fits(self._get(f"fits/{other}.npz"))
        own = {name: fit for name, fit in fits.items() if name in batch}
        with tempfile.TemporaryDirectory() as folder:
            recordings = self._download(plan, features_bucket, _of_folds(fold, batch), Path(folder))
            curves = calibrations(fits, batch)
            return pack_adapted(
                adapt_folds(plan.model(), own, curves, recordings, lambda recording: fold[recording.subject])
            )

    def _part(self, plan: Plan, features_bucket: str, name: str) -> bytes:
        from p300.evaluation_parts import compute

        subjects = plan.subjects.names if name == "reference" else plan.subjects.of_parts(plan.seed)
        with tempfile.TemporaryDirectory() as folder:
            recordings = self._download(plan, features_bucket, set(subjects), Path(folder))
            return json.dumps(compute(name, plan.model(), recordings, plan.subjects)).encode()

    def _download(self, plan: Plan, bucket: str, subjects: set[str], folder: Path) -> Downloaded:
        person = {name: subject for name, subject, _ in plan.subjects.recordings}
        paths = {}
        for number, (name, subject, _) in enumerate(plan.subjects.recordings):
            if subject not in subjects:
                continue
            paths[name] = folder / f"{number}.parquet"
            try:
                self._store.download(bucket, features_key(name), paths[name], if_match=plan.etags[name])
            except (NotFoundError, PreconditionError) as error:
                raise TrainingError(
                    "features_changed",
                    f"The features of {name} were recomputed or deleted while the training ran; all of its parts must see the same. "
                    "Train again.",
                ) from error
        return Downloaded(paths, person.__getitem__, plan.channels)

    def _key(self, name: str) -> str:
        return f"spread/{self.version}/{name}"

    def _get(self, name: str) -> bytes:
        try:
            return self._store.get(self._bucket, self._key(name))[0]
        except NotFoundError as error:
            raise TrainingError(
                "no_spread_training",
                f"s3://{self._bucket}/{self._key(name)} is missing; the parts of a training are kept for a week. Train again.",
            ) from error

    def _put(self, name: str, content: bytes) -> None:
        self._store.put(self._bucket, self._key(name), content)


def _n_subjects(recordings: Downloaded) -> int:
    return len({recordings.person_of(name) for name in recordings.names})


def _of_folds(fold_of: Mapping[str, str], folds: set[str]) -> set[str]:
    return {subject for subject, fold in fold_of.items() if fold in folds}

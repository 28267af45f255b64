"""What the prediction API answers: parse a request, score it with the model that an alias names, say which model it was."""

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from botocore.exceptions import BotoCoreError, ClientError
from numpy.typing import NDArray

from p300.decoding import Response
from p300.errors import ArtifactError, RequestError
from p300.recording import CLASS_NAMES, NON_TARGET, TARGET
from p300.registry import ALIASES, VERSION, Registry
from p300.scoring import Scorer, read_arrays
from p300.storage import NotFoundError, Store, UnchangedError

ALIAS_CHECK_S = 2.0
INTACT_CHECK_S = 10.0
MAX_EPOCHS = 2048
_VERSIONS_KEPT = 4


@dataclass(frozen=True)
class Served:
    """A model that is ready to score.

    Attributes
    ----------
    version : str
        Its version.
    scorer : Scorer
        Its weights.
    manifest : dict
        Its manifest.
    response : Response or None
        What decoding adapts to a person; None of a model that was trained before there was one.
    """

    version: str
    scorer: Scorer
    manifest: dict[str, Any]
    response: Response | None = None

    @property
    def expected(self) -> str:
        """What the model takes, in words."""
        channels, n_times = self.manifest["channels"], self.manifest["n_times"]
        return (
            f"{len(channels) * n_times} features an epoch: {len(channels)} channels ({' '.join(channels)}) x {n_times} samples at "
            f"{self.manifest['sfreq']:g} Hz from {self.manifest['tmin']:g} s, channel after channel, in volts"
        )


class Service:
    """Models by alias, cached; an alias is asked again at most every `ALIAS_CHECK_S` seconds, so a new champion needs no restart.

    A model that cannot be loaded (missing, altered, of a newer format, storage out of reach) does not replace the last good one: that
    one goes on serving and `health` says why. A process that starts with a champion that cannot be loaded serves the newest champion
    of the history that can.

    Parameters
    ----------
    store : Store
        S3 access.
    bucket : str
        Models bucket.
    on_fault : callable, optional
        Told the alias and the problem each time that an alias's model is looked for and cannot serve; not told of an alias that was
        never set.
    """

    def __init__(
        self, store: Store, bucket: str, on_fault: Callable[[str, str], None] = lambda alias, problem: None
    ) -> None:
        self.registry = Registry(store, bucket)
        self._on_fault = on_fault
        self._damage: str | None = None
        self._intact_checked = float("-inf")
        self._lock = threading.Lock()
        self._by_version: dict[str, Served] = {}
        self._aliases: dict[str, tuple[str, str]] = {}
        self._checked: dict[str, float] = {}
        self._last_good: dict[str, Served] = {}
        self.problems: dict[str, str] = {}

    def model(self, alias: str = "champion") -> Served:
        """Return the model that `alias` (or a version's own name) stands for now.

        Raises
        ------
        RequestError
            400 for a name that is neither, 503 where nothing can serve yet.
        """
        if VERSION.fullmatch(alias):
            try:
                return self._load(alias)
            except ArtifactError as error:
                raise RequestError("unknown_version", f"alias={alias}: {error.message}", 404) from error
            except (BotoCoreError, ClientError) as error:
                raise RequestError("no_model", self._unreadable(error), 503) from error
        if alias not in ALIASES:
            raise RequestError(
                "unknown_alias", f"alias is {alias[:80]!r}; expected {' or '.join(ALIASES)}, or a version.", 400
            )
        with self._lock:
            return self._model_of_alias(alias)

    def _model_of_alias(self, alias: str) -> Served:
        now = time.monotonic()
        if alias not in self._last_good or now - self._checked[alias] >= ALIAS_CHECK_S:
            self._refresh(alias)
            self._checked[alias] = now
        if alias not in self._last_good:
            raise RequestError("no_model", self.problems[alias], 503)
        return self._last_good[alias]

    def _refresh(self, alias: str) -> None:
        try:
            self._last_good[alias] = self._load(self._version(alias))
        except ArtifactError as error:
            self.problems[alias] = error.message
            if alias == "champion" and alias not in self._last_good:
                self._fall_back()
            if error.code == "no_model" and alias not in self._last_good:
                return  # nothing was trained yet
        except (BotoCoreError, ClientError) as error:
            self.problems[alias] = self._unreadable(error)
        else:
            self.problems.pop(alias, None)
            return
        self._on_fault(alias, self.problems[alias])

    def _fall_back(self) -> None:
        """Take the newest champion of the history that loads: functions start anew all the time, and memory starts empty."""
        try:
            earlier = dict.fromkeys(str(entry["version"]) for entry in reversed(self.registry.history()))
        except (ValueError, LookupError, TypeError, BotoCoreError, ClientError):
            return  # no history that could be read: there is nothing to go back to
        for version in earlier:
            try:
                self._last_good["champion"] = self._load(version)
            except (ArtifactError, BotoCoreError, ClientError):
                continue
            return

    def _unreadable(self, error: Exception) -> str:
        return f"The models bucket s3://{self.registry.bucket} cannot be read: {error}"

    def _version(self, alias: str) -> str:
        held = self._aliases.get(alias)
        store, bucket = self.registry.store, self.registry.bucket
        try:
            body, item = store.get(bucket, f"aliases/{alias}", unless=held[1] if held else None)
        except UnchangedError:
            assert held is not None  # noqa: S101
            return held[0]
        except NotFoundError as error:
            self._aliases.pop(alias, None)
            raise ArtifactError("no_model", f"No model is {alias} yet. Train one first.") from error
        self._aliases[alias] = (body.decode(errors="replace").strip(), item.etag)
        return self._aliases[alias][0]

    def _load(self, version: str) -> Served:
        served = self._by_version.get(version)
        if served is None:
            manifest = self.registry.manifest(version)
            content = self.registry.artifact(version, "model.npz", manifest)
            try:
                arrays = read_arrays(content)
                scorer, response = Scorer.from_arrays(arrays), Response.from_arrays(arrays)
            except ArtifactError as error:
                raise ArtifactError(error.code, f"{version}: {error.message}") from error
            told = len(manifest["channels"]), manifest["n_times"]
            if told != (scorer.n_channels, scorer.n_times):
                raise ArtifactError(
                    "bad_manifest",
                    f"The manifest of model {version} tells of {told[0]} channels x {told[1]} samples; its model.npz takes "
                    f"{scorer.n_channels} x {scorer.n_times}.",
                )
            if response and (len(response.difference), response.n_times) != told:
                raise ArtifactError(
                    "bad_model",
                    f"{version}: its response is one of {len(response.difference)} channels x {response.n_times} samples; the "
                    f"model takes {told[0]} x {told[1]}. Train again.",
                )
            served = Served(version, scorer, manifest, response)
            kept = list(self._by_version.items())[-_VERSIONS_KEPT + 1 :]
            self._by_version = {**dict(kept), version: served}
        return served

    def predict(self, body: bytes | str | None, alias: str = "champion") -> dict[str, Any]:
        """Answer ``POST /predict``.

        Parameters
        ----------
        body : bytes or str
            JSON with one of ``features`` (one epoch), ``epochs`` (a list of them) or ``epochs_b64`` with ``n_epochs`` (little-endian
            float32).
        alias : str
            ``champion``, ``challenger`` or a version.

        Returns
        -------
        dict
            ``model_version`` and, for one epoch at the top level, for a batch under ``predictions``: ``predicted_label_code``,
            ``predicted_class_name``, ``probability_target``.

        Raises
        ------
        RequestError
            If the body is not what the model expects.
        """
        request = parse_json(body)
        served = self.model(alias)
        X, single = _epochs(request, served)
        answers = [_answer(probability) for probability in served.scorer.probability_target(X).tolist()]
        if single:
            return {**answers[0], "model_version": served.version}
        return {"predictions": answers, "n_epochs": len(answers), "model_version": served.version}

    def health(self) -> tuple[int, dict[str, Any]]:
        """Answer ``GET /health``: status and body; 503 while nothing can serve."""
        try:
            served = self.model()
        except RequestError as error:
            return 503, {"status": "no model", "model_version": None, "message": error.message}
        self._check_intact(served)
        problem = self.problems.get("champion") or self._damage
        answer = {
            "status": "degraded" if problem else "ok",
            "model_version": served.version,
            "expects": served.expected,
        }
        return 200, {**answer, "problem": problem} if problem else answer

    def _check_intact(self, served: Served) -> None:
        """Look whether what serves from memory could be loaded again, before the next start of a process has to find out."""
        now = time.monotonic()
        if now - self._intact_checked < INTACT_CHECK_S:
            return
        self._intact_checked, self._damage = now, None
        try:
            self.registry.artifact(served.version, "model.npz", self.registry.manifest(served.version))
        except ArtifactError as error:
            self._damage = f"{error.message} It serves from memory only: restore it, or promote another version."
        except (BotoCoreError, ClientError) as error:
            self._damage = self._unreadable(error)
        if self._damage:
            self._on_fault("champion", self._damage)

    def models(self) -> dict[str, Any]:
        """Answer ``GET /models``: versions, newest first, and the aliases."""
        aliases = {name: self.registry.alias(name) for name in ALIASES}
        rows: list[dict[str, Any]] = []
        for version in reversed(self.registry.versions()):
            try:
                manifest = self.registry.manifest(version)
            except ArtifactError as error:
                rows.append({"version": version, "problem": error.message})
                continue
            rows.append(
                {
                    "version": version,
                    "kind": manifest["kind"],
                    "aliases": [name for name, held in aliases.items() if held == version],
                    "subjects": len(manifest["subjects"]),
                    "n_epochs": manifest["n_epochs"],
                    "auc_left_out": _auc_left_out(manifest["metrics"]),
                    "created": manifest["created"],
                }
            )
        return {"models": rows, "aliases": aliases}


def _auc_left_out(metrics: Mapping[str, Any]) -> float | None:
    folds = metrics["leave_one_subject_out"]
    return folds["mean"]["roc_auc"] if folds else None


def parse_json(body: bytes | str | None) -> Mapping[str, Any]:
    """Return the JSON object of a request's body.

    Raises
    ------
    RequestError
        400 if there is none.
    """
    try:
        import orjson
    except ImportError:  # outside its layer
        loads: Any = json.loads
    else:
        loads = orjson.loads
    try:
        request = loads(body or b"")
    except (ValueError, RecursionError) as error:
        raise RequestError("not_json", f"The body is not JSON ({error}); expected a JSON object.", 400) from error
    if not isinstance(request, dict):
        raise RequestError(
            "not_an_object", f"The body is a JSON {type(request).__name__}; expected a JSON object.", 400
        )
    return request


def _epochs(request: Mapping[str, Any], served: Served) -> tuple[NDArray[np.float32], bool]:
    forms = [name for name in ("features", "epochs", "epochs_b64") if name in request]
    if len(forms) != 1:
        raise RequestError(
            "which_epochs",
            f"The body has {' and '.join(forms) or 'none'} of features, epochs and epochs_b64; expected exactly one. The model "
            f"expects {served.expected}.",
        )
    form = forms[0]
    X = _from_base64(request, served) if form == "epochs_b64" else _from_lists(form, request[form], served)
    if not np.isfinite(X).all():
        raise RequestError(
            "not_finite", f"{form} holds NaN or infinite values, or some too large for float32; expected finite volts."
        )
    return X, form == "features"


def _from_lists(form: str, value: Any, served: Served) -> NDArray[np.float32]:
    rows = [value] if form == "features" else value
    n_features = served.scorer.n_features
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        raise RequestError(
            "bad_shape",
            f"{form} is not a list of {'numbers' if form == 'features' else 'epochs'}; expected {served.expected}.",
        )
    if len(rows) > MAX_EPOCHS:
        raise RequestError("too_many_epochs", f"{form} has {len(rows)} epochs; at most {MAX_EPOCHS} a request.", 413)
    for index, row in enumerate(rows):
        if len(row) != n_features:
            where = form if form == "features" else f"{form}[{index}]"
            raise RequestError(
                "wrong_length", f"{where} has {len(row)} numbers; model {served.version} expects {served.expected}."
            )
        if not all(type(number) is float or type(number) is int for number in row):
            raise RequestError(
                "not_numbers", f"{form} holds something that is not a number; expected {served.expected}."
            )
    try:
        with np.errstate(over="ignore"):
            return np.array(rows, dtype=np.float32)
    except OverflowError as error:
        raise RequestError("not_finite", f"{form} holds a number too large for float32.") from error


def _from_base64(request: Mapping[str, Any], served: Served) -> NDArray[np.float32]:
    text, n_epochs = request["epochs_b64"], request.get("n_epochs")
    if type(n_epochs) is int and n_epochs > MAX_EPOCHS:
        raise RequestError("too_many_epochs", f"n_epochs is {n_epochs}; at most {MAX_EPOCHS} a request.", 413)
    if type(n_epochs) is not int or n_epochs < 1:
        raise RequestError(
            "bad_n_epochs", f"n_epochs is {str(n_epochs)[:40]}; expected a whole number from 1 to {MAX_EPOCHS}."
        )
    if not isinstance(text, str):
        raise RequestError("bad_base64", f"epochs_b64 is a JSON {type(text).__name__}; expected base64 text.")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError("bad_base64", f"epochs_b64 is not base64: {error}.") from error
    n_bytes = n_epochs * served.scorer.n_features * 4
    if len(raw) != n_bytes:
        raise RequestError(
            "wrong_length",
            f"epochs_b64 holds {len(raw)} bytes; {n_epochs} epochs of float32 make {n_bytes}. Model {served.version} expects "
            f"{served.expected}.",
        )
    return np.frombuffer(raw, "<f4").reshape(n_epochs, -1)


def _answer(probability: float) -> dict[str, Any]:
    code = TARGET if probability >= 0.5 else NON_TARGET
    return {
        "predicted_label_code": code,
        "predicted_class_name": CLASS_NAMES[code],
        "probability_target": probability,
    }

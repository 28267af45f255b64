"""Scores epochs by a model's plain arrays with numpy alone: all of the learning code that inference loads."""

import io
import zipfile
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p300.decoding import Response, SessionDecoder
from p300.errors import ArtifactError, RequestError
from p300.models.alignment import adapted_whitener, whitener
from p300.models.calibration import Calibration, sigmoid
from p300.models.tangent import TangentSpace

NEWEST_FORMAT = 2
"""Format 1 had no floors and ceilings of probabilities, and another adaptation to recordings, which is not applied any more."""
RESPONSE_FLASHES = 25.0
"""How many target flashes a response must have learnt from to count as much as the model of epochs on their own."""
UNLABELLED = 0.25
"""How much a flash counts there whose label nobody gave."""
MAX_MODEL_BYTES = 256 << 20  # unfolded; 64 channels make 2 MB
MAX_CHANNELS, MAX_TIMES = 4096, 65536
_PARTS = {
    "lda": frozenset({"linear"}),
    "ridge": frozenset({"linear"}),
    "xdawn_ts": frozenset({"tangent"}),
    "ensemble": frozenset({"linear", "tangent"}),
}

Array = NDArray[np.float64]
Arrays = Mapping[str, NDArray[np.generic]]


def read_arrays(source: str | Path | bytes) -> dict[str, NDArray[np.generic]]:
    """Read the arrays of a ``model.npz``: a scorer's, and what else stands beside them.

    Parameters
    ----------
    source : str, Path or bytes
        A file, or its content.

    Returns
    -------
    arrays : dict
        By name.

    Raises
    ------
    ArtifactError
        Where it is absent, not an npz file, or holds Python objects.
    """
    name = "model.npz" if isinstance(source, bytes) else str(source)
    try:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise ArtifactError("missing_model", f"Model {name} cannot be read: {error.strerror}.") from error
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _plain_arrays(archive)
    except Exception as error:  # zipfile and numpy raise whatever the bytes lead them into
        raise ArtifactError(
            "unreadable_model",
            f"Model {name} ({len(content)} bytes) is not an npz file of plain arrays: {error}. "
            "Train again or restore it.",
        ) from error


def _plain_arrays(archive: zipfile.ZipFile) -> dict[str, NDArray[np.generic]]:
    unfolded = sum(member.file_size for member in archive.infolist())
    if unfolded > MAX_MODEL_BYTES:
        raise ValueError(f"it unfolds to {unfolded:,} bytes, expected at most {MAX_MODEL_BYTES:,}")
    return {member.removesuffix(".npy"): _plain_array(archive.read(member)) for member in archive.namelist()}


def _plain_array(content: bytes) -> NDArray[np.generic]:
    """Read one array of numbers or text; its memory is that of the bytes that are there, whatever they claim."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array of another format than 1.0")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.kind not in "iufU":
        raise ValueError(f"an array of {dtype}, expected numbers or text")
    return np.frombuffer(content, dtype, offset=file.tell()).reshape(shape, order="F" if fortran_order else "C")


class Scorer:
    """A model ready to score.

    Attributes
    ----------
    kind : str
    n_channels, n_times : int
        Shape of one epoch.
    prior_target : float
        Fraction of targets in training: subtract its log-odds from `log_odds` for a log likelihood ratio.
    response : Response or None
        What decodes sessions. It counts in single flashes' scores too: within a recording where the kind adapts, and in all of them
        where ``response.own`` says that this is the model of one subject.
    """

    def __init__(self, arrays: Arrays) -> None:
        version = int(_scalar(arrays, "format_version"))
        if version > NEWEST_FORMAT or version < 1:
            raise ArtifactError(
                "unknown_format",
                f"Model has format version {version}; this code reads 1 to {NEWEST_FORMAT}. "
                "Deploy newer code or retrain.",
            )
        self.kind = str(_array(arrays, "kind", ()))
        self.n_channels = int(_scalar(arrays, "n_channels"))
        self.n_times = int(_scalar(arrays, "n_times"))
        self.n_features = self.n_channels * self.n_times
        self.prior_target = _scalar(arrays, "prior_target")
        counts = 1 <= self.n_channels <= MAX_CHANNELS and 1 <= self.n_times <= MAX_TIMES
        if not counts or not 0 < self.prior_target < 1:
            raise ArtifactError(
                "bad_model",
                f"Model says {self.n_channels:g} channels, {self.n_times:g} samples, {self.prior_target:g} targets; expected counts "
                f"from 1 to {MAX_CHANNELS} and {MAX_TIMES}, and a fraction between 0 and 1.",
            )
        if self.kind not in _PARTS:
            raise ArtifactError(
                "unknown_kind", f"Model is of kind {self.kind!r}; this code scores {', '.join(sorted(_PARTS))}."
            )
        self._calibration = _calibration(arrays, "calibration", version)
        self._recording_calibration = _calibration(arrays, "recording_calibration", version)
        self._reference: Array | None = None
        self._lone_whitener: Array = np.eye(self.n_channels)
        if _scalar(arrays, "aligned"):
            self._reference = _numbers(arrays, "reference_covariance", (self.n_channels, self.n_channels))
            self._lone_whitener = whitener(self._reference)
        parts = _PARTS[self.kind]
        # What scores an epoch on its own has the reference alignment folded in: a linear model stays one dot product.
        self._aligned = _Parts(arrays, parts, self.n_channels, self.n_times)
        self._alone = self._aligned.after(self._lone_whitener)
        self.response = Response.from_arrays(arrays)
        if self.response and (self.response.n_channels, self.response.n_times) != (self.n_channels, self.n_times):
            raise ArtifactError(
                "bad_model",
                f"Model takes {self.n_channels} channels x {self.n_times} samples; its response is one of "
                f"{self.response.n_channels} x {self.response.n_times}. Train again.",
            )
        if self.kind == "ensemble" and version > 1 and not self.response:
            raise ArtifactError("incomplete_model", "Model has no array 'response_filters'; train again or restore it.")
        self._personal = _Personal(self.response) if self.response and self.response.own else None
        blends = self.kind == "ensemble" and version > 1
        self._blends_in_recording = blends or self._personal is not None
        self._knows_recordings = version > 1 or self.kind != "ensemble"
        self._bounds = Calibration(1.0, 0.0, self._calibration.floor, self._calibration.ceiling)
        self._recording_bounds = self._recording_calibration if blends or self._personal is None else self._bounds
        self._try_out()

    def _try_out(self) -> None:
        """Refuse weights that are finite numbers and yet make none of an epoch."""
        epochs = 1e-5 * np.sin(np.arange(2.0 * self.n_features)).reshape(2, -1)
        try:
            with np.errstate(all="ignore"):
                scores = [self.log_odds(epochs), self.log_odds(epochs, adapt=True)]
        except np.linalg.LinAlgError as error:
            raise ArtifactError(
                "bad_model", f"Model cannot score an epoch: {error}. Train again or restore it."
            ) from error
        if not np.isfinite(scores).all():
            raise ArtifactError("bad_model", "Model scores an epoch as NaN or infinity. Train again or restore it.")

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Scorer":
        """Make a scorer from what ``Estimator.to_arrays`` returned.

        Parameters
        ----------
        arrays : mapping
            By name.

        Returns
        -------
        scorer : Scorer

        Raises
        ------
        ArtifactError
            Where an array is missing, of another shape or type, not finite, or of a format this code does not know.
        """
        return cls(arrays)

    @classmethod
    def load(cls, source: str | Path | bytes) -> "Scorer":
        """Make a scorer from a ``model.npz``.

        Parameters
        ----------
        source : str, Path or bytes
            A file, or its content.

        Returns
        -------
        scorer : Scorer

        Raises
        ------
        ArtifactError
            Where it is refused by `read_arrays` or `from_arrays`.
        """
        return cls(read_arrays(source))

    def score(self, X: NDArray[np.floating]) -> Array:
        """Score each epoch on its own, before calibration.

        Parameters
        ----------
        X : ndarray, shape (n_epochs, n_channels * n_times)
            Features in volts, channel-major.

        Returns
        -------
        score : ndarray, shape (n_epochs,)

        Raises
        ------
        RequestError
            ``wrong_length``.
        """
        return self._alone.score(self._checked(X))

    def recording_score(self, X: NDArray[np.floating]) -> Array:
        """Score epochs of one recording, the model adapted to them, before calibration.

        Parameters
        ----------
        X : ndarray, shape (n_epochs, n_channels * n_times)
            Features in volts, channel-major.

        Returns
        -------
        score : ndarray, shape (n_epochs,)

        Raises
        ------
        RequestError
            ``wrong_length``.
        """
        X = self._checked(X)
        if self._reference is None or not len(X):
            score = self._alone.score(X)
        else:
            epochs = np.asarray(X, dtype=np.float64).reshape(len(X), self.n_channels, self.n_times)
            aligned = (adapted_whitener(epochs, self._reference) @ epochs).reshape(X.shape)
            score = self._aligned.score(aligned)
        if not self._blends_in_recording:
            return score
        assert self.response is not None  # noqa: S101 - there is none without
        session = SessionDecoder(self.response).fit(X)
        own = self._personal.weight if self._personal else 0.0
        weight = own + UNLABELLED * (session.weight_ - own)
        return self._blended(self._calibration.log_odds(score), session.log_likelihood_ratio_, weight)

    def log_odds(self, X: NDArray[np.floating], *, adapt: bool = False) -> Array:
        """Return the logarithm of P(Target) / P(NonTarget) of each epoch.

        Parameters
        ----------
        X : ndarray, shape (n_epochs, n_channels * n_times)
            Features in volts, channel-major.
        adapt : bool
            Whether the epochs are of one recording and the model, where it can, adapts to them without labels. An
            epoch's answer then depends on the others. Otherwise it never does.

        Returns
        -------
        log_odds : ndarray, shape (n_epochs,)

        Raises
        ------
        RequestError
            ``wrong_length`` where epochs do not have the model's number of features.
        """
        if adapt and self._knows_recordings:
            return self._recording_bounds.log_odds(self.recording_score(X))
        log_odds = self._calibration.log_odds(self.score(X))
        if self._personal is None:
            return log_odds
        return self._bounds.log_odds(self._blended(log_odds, self._personal.ratio(X), self._personal.weight))

    def probability_target(self, X: NDArray[np.floating], *, adapt: bool = False) -> Array:
        """Return the calibrated probability that each epoch follows a target.

        Parameters
        ----------
        X : ndarray, shape (n_epochs, n_channels * n_times)
            As in `log_odds`.
        adapt : bool
            As in `log_odds`.

        Returns
        -------
        probability : ndarray, shape (n_epochs,)
        """
        return sigmoid(self.log_odds(X, adapt=adapt))

    def _checked(self, X: NDArray[np.floating]) -> NDArray[np.floating]:
        if X.ndim != 2 or X.shape[1] != self.n_features:
            raise RequestError(
                "wrong_length",
                f"Epochs of shape {X.shape}; the model expects (n_epochs, {self.n_features}): "
                f"{self.n_channels} channels x {self.n_times} samples.",
            )
        return X

    def _blended(self, log_odds: Array, ratio: Array, weight: float) -> Array:
        """Return log-odds between the model's of epochs on their own and a response's, by the flashes the latter has learnt from."""
        share = RESPONSE_FLASHES / (RESPONSE_FLASHES + weight)
        prior = float(np.log(self.prior_target / (1 - self.prior_target)))
        blended: Array = share * log_odds + (1 - share) * (ratio + prior)
        return blended


class _Personal:
    """One subject's response as a linear model of epochs on their own.

    Attributes
    ----------
    weight : float
        Target flashes that it has learnt from.
    """

    def __init__(self, response: Response) -> None:
        self.weight = response.own.weight if response.own else 0.0
        self._weights, self._intercept = SessionDecoder(response).linear()

    def ratio(self, X: NDArray[np.floating]) -> Array:
        """Return the log likelihood ratio of each epoch."""
        ratio: Array = X @ self._weights + self._intercept
        return ratio


class _Parts:
    """The linear and the tangent-space member, whichever the kind has; the score is their mean."""

    def __init__(self, arrays: Arrays, parts: frozenset[str], n_channels: int, n_times: int) -> None:
        self.weights: Array | None = None
        self.intercept = 0.0
        self.tangent: TangentSpace | None = None
        if "linear" in parts:
            self.weights = _numbers(arrays, "weights", (n_channels * n_times,))
            self.intercept = _scalar(arrays, "intercept")
        if "tangent" in parts:
            n_filters = _length(arrays, "tangent_filters")
            self.tangent = TangentSpace(
                _numbers(arrays, "tangent_filters", (n_filters, n_channels)),
                _numbers(arrays, "tangent_prototype", (n_filters, n_times)),
                _numbers(arrays, "tangent_whitening", (2 * n_filters, 2 * n_filters)),
            )
            weights = _numbers(arrays, "tangent_weights", (n_filters * (2 * n_filters + 1),))
            self.tangent_weights = self.tangent.matrix(weights)
            self.tangent_intercept = _scalar(arrays, "tangent_intercept")

    def after(self, whitening: Array) -> "_Parts":
        """Return the parts for epochs that are not whitened yet."""
        folded = copy(self)
        if self.weights is not None:
            folded.weights = (whitening @ self.weights.reshape(len(whitening), -1)).ravel()
        if self.tangent is not None:
            folded.tangent = replace(self.tangent, filters=self.tangent.filters @ whitening)
        return folded

    def score(self, X: NDArray[np.floating]) -> Array:
        linear = None if self.weights is None else X @ self.weights + self.intercept
        if self.tangent is None:
            assert linear is not None  # noqa: S101 - every kind has one part or both
            return linear
        epochs = X.reshape(len(X), self.tangent.filters.shape[1], self.tangent.prototype.shape[1])
        tangent: Array = self.tangent.project(epochs, self.tangent_weights) + self.tangent_intercept
        return tangent if linear is None else 0.5 * (linear + tangent)


def _calibration(arrays: Arrays, name: str, version: int) -> Calibration:
    calibration = Calibration(*_numbers(arrays, name, (2 if version == 1 else 4,)).tolist())
    if not (0 <= calibration.floor < 0.5 and 0 <= calibration.ceiling < 0.5):
        raise ArtifactError(
            "bad_model",
            f"Model array {name!r} has a floor of {calibration.floor:g} and a ceiling of {calibration.ceiling:g}; expected at least 0 and "
            "less than 0.5. Train again or restore it.",
        )
    return calibration


def _length(arrays: Arrays, name: str) -> int:
    if name not in arrays:
        _array(arrays, name, ())
    return len(arrays[name]) if arrays[name].ndim else 0


def _array(arrays: Arrays, name: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
    if name not in arrays:
        raise ArtifactError("incomplete_model", f"Model has no array {name!r}; train again or restore the artifact.")
    array = arrays[name]
    if array.shape != shape:
        raise ArtifactError("bad_model", f"Model array {name!r} has shape {array.shape}; expected {shape}.")
    if array.dtype.kind not in "iufU":
        raise ArtifactError("bad_model", f"Model array {name!r} is of type {array.dtype}; expected numbers or text.")
    return array


def _numbers(arrays: Arrays, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = _array(arrays, name, shape)
    if array.dtype.kind == "U" or not np.isfinite(array.astype(np.float64)).all():
        raise ArtifactError("bad_model", f"Model array {name!r} holds text, NaN or infinity; expected finite numbers.")
    return array.astype(np.float64)


def _scalar(arrays: Arrays, name: str) -> float:
    return float(_numbers(arrays, name, ()))

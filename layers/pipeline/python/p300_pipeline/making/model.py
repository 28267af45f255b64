"""Makes a model of features."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from p300.features import FeatureSet, read_features
from p300.models import RecordingEpochs
from p300.montages import fitted

from p300_pipeline.making.threads import one_thread

if TYPE_CHECKING:
    from p300.models.base import Estimator


class Downloaded:
    """Recordings whose features are in a folder, read one at a time, as often as a fit needs: memory holds one of them.

    Parameters
    ----------
    paths : mapping of str to Path
        Files by recording; each was read and found right before.
    person_of : callable
        Names the person whose a recording is.
    channels : sequence of str
        Those of the model, in this order: selected by name, interpolated where a recording lacks a few.
    """

    def __init__(self, paths: Mapping[str, Path], person_of: Callable[[str], str], channels: Sequence[str]) -> None:
        # One person's recordings are read one after another: memory holds those of one.
        self._paths = {name: paths[name] for name in sorted(sorted(paths), key=person_of)}
        self.person_of = person_of
        self._channels = channels

    @property
    def names(self) -> list[str]:
        """The recordings."""
        return list(self._paths)

    def __iter__(self) -> Iterator[RecordingEpochs]:
        for name in self._paths:
            features = self.features(name)
            yield RecordingEpochs(
                name,
                self.person_of(name),
                features.X,
                features.label,
                len(features.ch_names),
                features.flash,
                features.onset_sample,
                features.ch_names,
            )

    def features(self, name: str) -> FeatureSet:
        """Return one recording's features."""
        return fitted(read_features(self._paths[name], verify=False), self._channels, name)


@dataclass(frozen=True)
class Made:
    """A model, its metrics, and all that inference loads of it: ``model.npz``."""

    estimator: "Estimator"
    metrics: dict[str, Any]
    npz: bytes


def make_model(recordings: Downloaded, kind: str, seed: int) -> Made:
    """Train and evaluate a model; the same features and arguments give the same bytes on the same kind of machine.

    Parameters
    ----------
    recordings : Downloaded
        What to train on.
    kind : str
        One of ``p300.models.KINDS``.
    seed : int
        Of every random choice.

    Raises
    ------
    TrainingError
        As `p300.evaluation.train` does.
    """
    # What takes seconds to import, or is not there where only other steps run.
    from p300 import evaluation
    from p300.decoding import Response

    with one_thread():
        sfreq = recordings.features(recordings.names[0]).sfreq
        estimator, metrics = evaluation.train(recordings, kind, seed, sfreq)
        response = getattr(estimator, "response_", None) or Response.fit(recordings, sfreq)
    return Made(estimator, metrics, npz({**estimator.to_arrays(), **response.to_arrays()}))


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays as a ``model.npz``."""
    buffer = io.BytesIO()
    np.savez(buffer, **dict(arrays))  # type: ignore[arg-type]  # its entries are all dated 1980
    return buffer.getvalue()

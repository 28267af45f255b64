"""The mean of an LDA on window means and of `xdawn_ts`, with a response adapted to each recording without labels: the default.

Why it is the default: mean ROC AUC over subjects left out, with alignment and adaptation to each recording (without, each epoch on its own,
in brackets), on BNCI 2015-003 subjects 6 to 10; and of five blocks of time of the one subject of Brain Invaders 2012, whom the model then
knows (``benchmarks/models.py``, which makes the table).

======================  ================  ================
kind                    BNCI 2015-003     BI2012
======================  ================  ================
lda                     0.772 (0.772)     (0.879)
lda, aligned            0.776 (0.773)     (0.894)
ridge                   0.771 (0.771)     (0.883)
ridge, aligned          0.775 (0.772)     (0.894)
xdawn_ts, not aligned   0.778 (0.778)     (0.904)
xdawn_ts                0.777 (0.776)     (0.906)
ensemble, not aligned   0.823 (0.787)     0.926 (0.911)
ensemble                0.824 (0.786)     0.928 (0.916)
======================  ================  ================

Tried and left out, as no better: per-channel and per-feature standardisation of recordings, Riemannian re-centring of
the covariances after alignment, the new recording's covariance alone with other people's mean difference (worse), a
third member with XDAWN filters and LDA, windows of 10 to 80 ms.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from p300.decoding import Response
from p300.decoding.response_fit import RecordingSummary, response_of, summarise
from p300.models.data import RecordingEpochs
from p300.models.linear import LDA
from p300.models.moments import Array, Moments, Stratum
from p300.models.prepared import AlignedEpochs, Prepared, window_matrix, window_means
from p300.models.xdawn import AlignedEstimator, XdawnTangentSpace


class WindowedLDA(LDA):
    """LDA on means over short windows."""

    def _features(self, recording: RecordingEpochs) -> Array:
        if isinstance(recording, AlignedEpochs):  # which folds share
            return recording.window_means
        return window_means(super()._features(recording), recording.n_channels)

    def _set(self, moments: Moments, strata: list[Stratum], fourth: Array) -> None:
        super()._set(moments, strata, fourth)
        self.weights_ = (self.weights_.reshape(self.n_channels_, -1) @ window_matrix(self.n_times_).T).ravel()


class Ensemble(AlignedEstimator):
    """Mean log-odds of `WindowedLDA` and `XdawnTangentSpace`, and a `Response` that adapts to the recording at hand.

    The two err differently: one sees the response's time course in each channel, the other its spatial pattern. Parameters are those of
    `EpochClassifier`; recordings are aligned by default.

    Attributes
    ----------
    lda_ : WindowedLDA
    xdawn_ : XdawnTangentSpace
    response_ : Response
        What a prediction with ``groups`` adapts: `p300.scoring.Scorer` blends its scores in, the more the more epochs a recording has.

    See Also
    --------
    p300.decoding.SessionDecoder : The adaptation, and its sources.
    p300.models.portable.to_pipeline : The fitted model, without the adaptation, as scikit-learn's and pyRiemann's own.
    """

    kind = "ensemble"
    calibrates_in_fit = True

    def _fit_prepared(self, prepared: Prepared) -> None:
        self.lda_ = WindowedLDA()
        self.lda_._fit(prepared)
        self.xdawn_ = XdawnTangentSpace(align=self.align, random_state=self.random_state)
        self.xdawn_._fit_prepared(prepared)
        self._begin((self.lda_.n_channels_, self.lda_.n_times_))
        self.prior_target_ = self.xdawn_.prior_target_

    @property
    def _adapts(self) -> bool:
        return True

    def _complete(self, prepared: Prepared) -> None:
        super()._complete(prepared)
        self.xdawn_.reference_ = self.reference_
        self.response_: Response = response_of(prepared.summaries, self.sfreq)

    def _summarise(self, recording: RecordingEpochs) -> RecordingSummary | None:
        return summarise(recording, self.sfreq) if len(recording.y) else None

    def _arrays(self) -> Mapping[str, NDArray[np.generic]]:
        return {**self.lda_._arrays(), **self.xdawn_._arrays(), **self.response_.to_arrays()}

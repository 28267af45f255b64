"""The mean of an LDA on window means and of `xdawn_ts`, adapted to each recording without labels: the default.

Why it is the default: mean ROC AUC over people left out, with alignment and adaptation to each recording (without, each epoch on its own,
in brackets), on BNCI 2015-003 subjects 6 to 10 and on ten synthetic people of `p300.synth`; and of five blocks of time of the one person
of Brain Invaders 2012, whom the model then knows (each epoch on its own). For each of the five people the same kind is chosen where the
choice is made by leave-one-subject-out among the other four alone: 0.807 is the choice's figure on people who had no part in it, too
(``benchmarks/models.py``, which makes the table anew).

======================  ================  ===============  ======
kind                    BNCI 2015-003     synthetic        BI2012
======================  ================  ===============  ======
lda                     0.772 (0.772)     0.804 (0.804)    0.879
lda, aligned            0.776 (0.773)     0.829 (0.798)    0.894
ridge                   0.771 (0.771)     0.800 (0.800)    0.883
ridge, aligned          0.775 (0.772)                      0.894
xdawn_ts, not aligned   0.778 (0.778)     0.833 (0.833)    0.904
xdawn_ts                0.777 (0.776)     0.855 (0.833)    0.906
ensemble, not aligned   0.787 (0.787)     0.836 (0.836)    0.912
ensemble                0.807 (0.786)     0.867 (0.834)    0.915
======================  ================  ===============  ======

Tried and left out, as no better: per-channel and per-feature standardisation of recordings, Riemannian re-centring of
the covariances after alignment, the new recording's covariance alone with other people's mean difference (worse), a
third member with XDAWN filters and LDA, windows of 10 to 80 ms.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from p300.models.data import RecordingEpochs, Recordings
from p300.models.linear import LDA
from p300.models.moments import Array, Moments, Stratum
from p300.models.recording_adaptation import window_matrix, window_means
from p300.models.xdawn import AlignedEstimator, XdawnTangentSpace


class WindowedLDA(LDA):
    """LDA on means over short windows, which keeps the statistics that an adaptation starts from.

    Attributes
    ----------
    mean_, difference_ : ndarray, shape (n_windowed_features,)
        Mean of all epochs; of targets minus non-targets.
    covariance_ : ndarray, shape (n_windowed_features, n_windowed_features)
        Shrunk, within class.
    """

    def _features(self, recording: RecordingEpochs) -> Array:
        return window_means(super()._features(recording), recording.n_channels)

    def _set(self, moments: Moments, strata: list[Stratum], fourth: Array) -> None:
        super()._set(moments, strata, fourth)
        self.covariance_ = self._covariance(moments, strata, fourth)
        self.mean_ = moments.origin + moments.sums.sum(axis=0) / moments.n.sum()
        self.difference_ = strata[1].mean - strata[0].mean
        self.weights_ = (self.weights_.reshape(self.n_channels_, -1) @ window_matrix(self.n_times_).T).ravel()


class Ensemble(AlignedEstimator):
    """Mean log-odds of `WindowedLDA` and `XdawnTangentSpace`, and an `Adaptation` to the recording at hand.

    The two err differently: one sees the response's time course in each channel, the other its spatial pattern. Parameters are those of
    `EpochClassifier`; recordings are aligned by default.

    Attributes
    ----------
    lda_ : WindowedLDA
    xdawn_ : XdawnTangentSpace

    See Also
    --------
    p300.models.recording_adaptation.Adaptation : What a prediction with ``groups`` adapts, and its source.
    p300.models.portable.to_pipeline : The fitted model, without the adaptation, as scikit-learn's and pyRiemann's own.
    """

    kind = "ensemble"
    calibrates_in_fit = True

    def _fit_aligned(self, aligned: Recordings) -> None:
        self.lda_ = WindowedLDA()
        self.lda_._fit(aligned)
        self.xdawn_ = XdawnTangentSpace(align=self.align, random_state=self.random_state)
        self.xdawn_._fit_aligned(aligned)
        self._begin((self.lda_.n_channels_, self.lda_.n_times_))
        self.prior_target_ = self.xdawn_.prior_target_

    def _refer_to(self, reference: Array) -> None:
        self.reference_ = self.xdawn_.reference_ = reference

    def _arrays(self) -> Mapping[str, NDArray[np.generic]]:
        return {
            **self.lda_._arrays(),
            **self.xdawn_._arrays(),
            "adaptation_mean": self.lda_.mean_,
            "adaptation_difference": self.lda_.difference_,
            "adaptation_covariance": self.lda_.covariance_,
        }

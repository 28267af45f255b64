"""Makes a model of other people fit this person, from flashes whose labels nobody knows.

In every trial exactly the groups of one symbol are targets. That structure stands in for labels: the symbols are decoded with what other
people's brains answer, the decoded symbols say which flashes were probably targets, their mean is what this brain answers, and so on
round: expectation maximisation (Kindermans et al. 2012, A Bayesian model for exploiting application constraints to enable unsupervised
training of a P300-based BCI, PLoS ONE 7:e33758) from a transferred prior (Kindermans et al. 2014, Integrating dynamic stopping, transfer
learning and language models in an adaptive zero-training ERP speller, J. Neural Eng. 11:035005). Where nobody knows what a flash lit,
every flash is a trial of its own that was a target or not.

Before that the model's response is moved in time to where this person answers: people differ in the latency of their P300 more than in
anything else, and how late someone is shows in all flashes at once.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from p300.decoding.bayes import EVIDENCE_WEIGHT, Decoding, decide
from p300.decoding.personal_statistics import PersonalStatistics
from p300.decoding.response import Response
from p300.decoding.trial_evidence import TrialEvidence
from p300.decoding.whitened import Whitened
from p300.errors import RequestError

Array = NDArray[np.float64]
Trials = Sequence[slice]

N_ITERATIONS = 6


class SessionDecoder:
    """Infers a session's symbols and this person's response together.

    Parameters
    ----------
    response : Response
        Of other people, with what is known of this person in ``response.own`` where anything is.

    Attributes
    ----------
    log_likelihood_ratio_ : ndarray, shape (n_flashes,)
        Of each flash: log p(epoch | target) / p(epoch | non-target), with a response learnt from all other flashes. 0 where there is
        no epoch. Of the whole session; `causal_log_likelihood_ratio` is what could be known at each flash. It is a score of single
        flashes: those of one symbol taught each other, so their sum overstates what they say of it. `decode` does not.
    posterior_ : list of ndarray, shape (n_symbols,)
        For each trial, how likely each symbol is; empty where no groups are known.
    weight_ : float
        How many target flashes the response was learnt from, in the session and before.

    See Also
    --------
    p300.models.personal.PersonalModel : Keeps what was learnt.

    Notes
    -----
    With p_i the probability that flash i lit the symbol of its trial, p their mean over the trial, z_i its whitened epoch, m_0 the
    model's response at this person's latency and K its precision (`Whitened`), the response to a target is Gaussian with the mean

        m = (K m_0 + sum_i (p_i - p) z_i) / (K + sum_i p (1 - p)),    sums over the session and over what is known of this person

    along each axis. A symbol's evidence in a trial is its flashes' marginal likelihood under that Gaussian (`Belief.log_evidence`), times
    `EVIDENCE_WEIGHT`. Bayes' rule turns it into p_i, and so on `N_ITERATIONS` times. The sums that decode a trial leave out its own
    flashes: a symbol once believed would teach the response to believe it, and confidence would no longer mean anything.
    """

    log_likelihood_ratio_: Array
    posterior_: list[Array]
    weight_: float

    def __init__(self, response: Response) -> None:
        self.response = response

    def fit(
        self,
        X: NDArray[np.floating],
        lit: NDArray[np.bool_] | None = None,
        trials: Trials | None = None,
        symbols: Sequence[int | None] | None = None,
    ) -> "SessionDecoder":
        """Infer.

        Parameters
        ----------
        X : ndarray, shape (n_flashes, n_channels * n_times)
            Features in volts, channel-major, of the person's flashes so far in order of time. A row of NaN stands for a flash without
            a usable epoch.
        lit : ndarray of bool, shape (n_flashes, n_symbols), optional
            Which symbols each flash lit (`Layout.lit`), or which sets of groups it belongs to (`lit_sets`). None where nobody knows.
        trials : sequence of slice, optional
            The flashes of each symbol (`split_trials`); by default all are of one.
        symbols : sequence of int or None, optional
            The symbol of each trial where it is known, from a calibration or confirmed by the user.

        Returns
        -------
        self : SessionDecoder

        Raises
        ------
        RequestError
            ``wrong_length``, ``bad_flashes``, ``bad_trials``, ``not_finite`` or ``not_decodable``.
        """
        present = _present(X, lit)
        self._n_flashes = len(X)
        self._present = present
        self._X = X[present]
        self._white = Whitened.of(self._X, self.response)
        if lit is None:
            self._trials: list[TrialEvidence] = []
            self._fit_lone_flashes()
            self.weight_ = float((self._belief.precision - self._white.precision)[0])
            return self
        trials = [slice(0, len(X))] if trials is None else trials
        known = [None] * len(trials) if symbols is None else list(symbols)
        if len(known) != len(trials):
            raise RequestError("bad_trials", f"{len(known)} known symbols for {len(trials)} trials; expected one each.")
        z = np.zeros((len(X), self._white.z.shape[1]))
        z[present] = self._white.z
        self._trials = []
        for trial, symbol in zip(trials, known, strict=True):
            flashes = np.arange(len(X))[trial]
            self._trials.append(TrialEvidence.of(flashes, present, z, lit, symbol, self.response.prior_target))
        self._fit_symbols()
        self.weight_ = float((self._belief.precision - self._white.precision)[0])
        return self

    def score(self, X: NDArray[np.floating]) -> Array:
        """Return log likelihood ratios of further flashes, with what was learnt so far.

        Parameters
        ----------
        X : ndarray, shape (n_flashes, n_channels * n_times)
            Rows of NaN where there is no epoch.

        Returns
        -------
        log_likelihood_ratio : ndarray, shape (n_flashes,)
        """
        present = _present(X, None)
        white = self._white
        z = (self.response.project(X[present]) - white.centre).reshape(-1, len(white.matrix)) @ white.matrix
        length = np.sqrt((z**2).mean(axis=1, keepdims=True))
        z = np.divide(z, length, out=np.zeros_like(z), where=length > 0)
        ratio = np.zeros(len(X))
        ratio[present] = white.ratio(z, self._belief.mean)
        return ratio

    def linear(self) -> tuple[Array, float]:
        """Return weights, shape (n_channels * n_times,), and intercept of `score` of further flashes, but that it bounds bursts.

        Before `fit` they are those of what was known without a session.
        """
        if not hasattr(self, "_belief"):
            self.fit(np.empty((0, self.response.n_channels * self.response.n_times)))
        white, mean = self._white, self._belief.mean
        by_bin = (white.matrix @ mean).reshape(white.centre.shape)
        weights = self.response.filters.T @ by_bin @ self.response.temporal.T
        return weights.ravel(), float(white.ratio(np.zeros_like(mean), mean) - (by_bin * white.centre).sum())

    def decode(
        self, trial: int = -1, *, confidence: float = 1.0, prior: NDArray[np.floating] | None = None
    ) -> Decoding:
        """Decode one trial's symbol.

        Parameters
        ----------
        trial : int
            Which; by default the last.
        confidence : float
            Stop at the first flash after which a symbol has at least this probability. 1 uses all flashes.
        prior : ndarray, shape (n_symbols,), optional
            Probability of each symbol before the first flash.

        Returns
        -------
        decoding : Decoding
            What the trial's flashes say, also where its symbol is known.

        Raises
        ------
        RequestError
            ``bad_confidence`` or ``bad_prior``.
        """
        one, belief = self._trials[trial], self._beliefs[trial]
        if confidence == 1:
            evidence = np.array([np.zeros(len(one.set_of)), one.evidence(belief)])
            return decide(evidence, [0, one.n_flashes], confidence=confidence, prior=prior)
        return decide(one.running_evidence(belief), range(one.n_flashes + 1), confidence=confidence, prior=prior)

    def statistics(self, trials: Sequence[int] | None = None) -> PersonalStatistics:
        """Return what some trials, by default all, say about this person's response, as far as their symbols are believed."""
        factor, weight = np.zeros(self._n_flashes), 0.0
        for number, (trial, posterior) in enumerate(zip(self._trials, self.posterior_, strict=True)):
            if trials is None or number in trials:
                factor[trial.rows], of_trial = trial.believed(posterior)
                weight += of_trial
        return self._white.statistics(factor[self._present], weight, self.response.channel_sum(self._X))

    def _fit_symbols(self) -> None:
        white, trials = self._white, self._trials
        likelihoods = [trial.log_likelihood(white.at_latencies, white.energy) for trial in trials]
        start = white.start(np.sum(likelihoods, axis=0) if trials else None)
        self._belief, self._beliefs = start, [start] * len(trials)
        self.posterior_ = [trial.posterior(start) for trial in trials]
        believed = [(np.zeros(len(trial.rows)), 0.0) for trial in trials]
        for _ in range(N_ITERATIONS if trials else 0):
            believed = [trial.believed(posterior) for trial, posterior in zip(trials, self.posterior_, strict=True)]
            sums = [(factor @ trial.z, weight) for trial, (factor, weight) in zip(trials, believed, strict=True)]
            self._belief = start.updated(np.sum([s for s, _ in sums], axis=0), sum(w for _, w in sums))
            self._beliefs = [self._belief.updated(-s, -w) for s, w in sums]
            self.posterior_ = [trial.posterior(belief) for trial, belief in zip(trials, self._beliefs, strict=True)]
        self.log_likelihood_ratio_ = np.zeros(self._n_flashes)
        for trial, (factor, weight) in zip(trials, believed, strict=True):
            mean = self._belief.mean_without(trial.z, factor, weight)
            self.log_likelihood_ratio_[trial.rows] = white.ratio(trial.z, mean)

    def _fit_lone_flashes(self) -> None:
        white, p = self._white, self.response.prior_target
        logit = np.log(p / (1 - p))
        by_latency = white.z @ white.at_latencies.T
        target = logit + (1 - p) * by_latency - 0.5 * (1 - p) ** 2 * white.energy
        rest = -p * by_latency - 0.5 * p**2 * white.energy
        start = white.start(EVIDENCE_WEIGHT * np.logaddexp(target, rest).sum(axis=0))
        self._belief, self._beliefs, self.posterior_ = start, [], []
        ratio = white.ratio(white.z, start.mean)
        for _ in range(N_ITERATIONS if len(ratio) else 0):
            probability = 0.5 + 0.5 * np.tanh(0.5 * (ratio + logit))
            mean = float(probability.mean())
            factor, weight = probability - mean, len(ratio) * mean * (1 - mean)
            self._belief = start.updated(factor @ white.z, weight)
            # Each flash is judged by the others: one that was believed would teach the response to believe it.
            ratio = white.ratio(white.z, self._belief.mean_without(white.z, factor, weight))
        self.log_likelihood_ratio_ = np.zeros(self._n_flashes)
        self.log_likelihood_ratio_[self._present] = ratio


def _present(X: NDArray[np.floating], lit: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    if lit is not None and len(lit) != len(X):
        raise RequestError("bad_flashes", f"{len(X)} epochs for {len(lit)} flashes; expected one each.")
    present: NDArray[np.bool_] = ~np.isnan(X).all(axis=1) if X.ndim == 2 else np.zeros(len(X), dtype=bool)
    if not np.isfinite(X[present]).all():
        raise RequestError("not_finite", "Epochs hold NaN or infinity; a flash without an epoch is a row of NaN only.")
    return present

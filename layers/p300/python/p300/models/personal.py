"""One subject's own model: what other people's recordings say, and what this subject's flashes said, labelled or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from p300.decoding.personal_statistics import PersonalStatistics
from p300.decoding.recognition import recognise
from p300.decoding.response import Response
from p300.decoding.session_decoder import SessionDecoder
from p300.errors import ArtifactError, TrainingError
from p300.recording import NON_TARGET, TARGET
from p300.scoring import Scorer

Array = NDArray[np.float64]
Arrays = Mapping[str, NDArray[np.generic]]

CERTAIN = 0.9
"""A symbol this likely is learnt from. Of symbols said to be so, as many were right (``benchmarks/personal.py``)."""
MIN_CERTAIN_SHARE = 0.5
"""Of a session's symbols, so many must be certain: noise makes one certain now and then."""


@dataclass(frozen=True)
class Lesson:
    """What became of a session that a model was to learn from.

    Attributes
    ----------
    learnt : bool
        Whether the model changed.
    problems : tuple of str
        Why it did not, in words for a person.
    n_symbols, n_certain, n_confirmed : int
        Symbols of the session; those learnt from, if any were; those confirmed.
    mean_certainty : float
        Mean over the symbols of how likely the likeliest is, before any was confirmed.
    before : PersonalStatistics or None
        What the model knew before: ``model.statistics = lesson.before`` takes the lesson back.
    taught : PersonalStatistics or None
        What the session added; None where nothing.
    """

    learnt: bool
    problems: tuple[str, ...]
    n_symbols: int
    n_certain: int
    n_confirmed: int
    mean_certainty: float
    before: PersonalStatistics | None
    taught: PersonalStatistics | None = None


class PersonalModel:
    """A population's model made one subject's.

    Parameters
    ----------
    population : mapping of str to ndarray
        What the population's ``model.npz`` holds (`p300.scoring.read_arrays`), with a response.
    statistics : PersonalStatistics, optional
        What is known of the subject; by default what the arrays hold, which is nothing for a population's.

    Attributes
    ----------
    response : Response
        The subject's, for `SessionDecoder`.
    scorer : Scorer
        What serves.

    Notes
    -----
    The subject's response to a target is the mean of a Gaussian posterior whose prior is other people's response at this subject's latency
    (`SessionDecoder` has the formula). Of epochs on their own its log likelihood ratio is one dot product. It is blended with the
    population's log-odds, which count as much as `p300.scoring.RESPONSE_FLASHES` target flashes: so the model works from the first symbol
    on, and is the population's before it.
    """

    classes_ = np.array([NON_TARGET, TARGET])

    def __init__(self, population: Arrays, statistics: PersonalStatistics | None = None) -> None:
        response = Response.from_arrays(population)
        if response is None:
            raise ArtifactError(
                "no_response", "The population's model holds no response to start from. Train it again."
            )
        self._population = {name: array for name, array in population.items() if not name.startswith("own_")}
        self._prior = replace(response, own=None)
        self.statistics = statistics or response.own

    @property
    def population(self) -> Arrays:
        """The population's arrays, without what is known of the subject."""
        return self._population

    @property
    def statistics(self) -> PersonalStatistics | None:
        """What is known of the subject."""
        return self.response.own

    @statistics.setter
    def statistics(self, statistics: PersonalStatistics | None) -> None:
        self.response = replace(self._prior, own=statistics)
        self.scorer = Scorer.from_arrays(self.to_arrays())

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Load what `to_arrays` returned."""
        return cls(arrays)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Export everything that inference needs as plain arrays, for ``numpy.savez``."""
        return {**self._population, **self.response.to_arrays()}

    def fit(self, X: NDArray[np.floating], y: NDArray[np.integer]) -> Self:
        """Learn from labelled flashes of the subject alone; forget what was known before. As `partial_fit`."""
        self.statistics = None
        return self.partial_fit(X, y)

    def partial_fit(self, X: NDArray[np.floating], y: NDArray[np.integer]) -> Self:
        """Learn from more labelled flashes of the subject, such as a calibration of one symbol.

        Parameters
        ----------
        X : ndarray, shape (n_epochs, n_channels * n_times)
            Features in volts, channel-major, of one recording.
        y : ndarray of int, shape (n_epochs,)
            1 (NonTarget) or 2 (Target).

        Returns
        -------
        self : PersonalModel

        Raises
        ------
        TrainingError
            ``missing_class`` where there are not both.
        RequestError
            Where shapes do not fit or features are not finite.
        """
        target = np.asarray(y) == TARGET
        if not target.any() or target.all():
            raise TrainingError(
                "missing_class",
                f"The subject's flashes hold {int(target.sum())} Target of {len(target)}; expected both.",
            )
        # As flashes of one symbol that is known: lit are those that were targets.
        decoder = SessionDecoder(self.response).fit(X, target[:, None], symbols=[0])
        return self._add(decoder.statistics())

    def learn(
        self,
        X: NDArray[np.floating],
        lit: NDArray[np.bool_],
        trials: Sequence[slice],
        confirmed: Sequence[int | None] | None = None,
        ch_names: Sequence[str] | None = None,
    ) -> Lesson:
        """Learn from a session of spelling, by the certainty of its symbols, unless something is wrong with it.

        Parameters
        ----------
        X : ndarray, shape (n_flashes, n_channels * n_times)
            As in `SessionDecoder.fit`.
        lit : ndarray of bool, shape (n_flashes, n_symbols)
            As in `SessionDecoder.fit`.
        trials : sequence of slice
            As in `SessionDecoder.fit`.
        confirmed : sequence of int or None, optional
            For each trial the symbol that the user confirmed; None where none was.
        ch_names : sequence of str, optional
            To name electrodes with.

        Returns
        -------
        lesson : Lesson
            Nothing changes unless at least `MIN_CERTAIN_SHARE` of the symbols are certain (`CERTAIN`) or confirmed, those confirmed agree
            with the flashes better than any, and the session is the subject's (`recognise`).
        """
        before = self.statistics
        blind = SessionDecoder(self.response).fit(X, lit, trials)
        confirmed = [None] * len(trials) if confirmed is None else list(confirmed)
        decoder = SessionDecoder(self.response).fit(X, lit, trials, confirmed) if any_known(confirmed) else blind
        certain = [
            number
            for number, (posterior, symbol) in enumerate(zip(decoder.posterior_, confirmed, strict=True))
            if symbol is not None or posterior.max() >= CERTAIN
        ]
        statistics = decoder.statistics(certain)
        problems = _undecided(len(certain), len(trials)) + _contradicted(blind.posterior_, confirmed)
        problems += recognise(statistics, self.response, ch_names)
        likeliest = [float(posterior.max()) for posterior in blind.posterior_]
        n_confirmed = sum(symbol is not None for symbol in confirmed)
        how_sure = float(np.mean(likeliest)) if likeliest else 0.0
        if problems:
            return Lesson(False, tuple(problems), len(trials), 0, n_confirmed, how_sure, before)
        self._add(statistics)
        return Lesson(True, (), len(trials), len(certain), n_confirmed, how_sure, before, statistics)

    def session(
        self,
        X: NDArray[np.floating],
        lit: NDArray[np.bool_] | None = None,
        trials: Sequence[slice] | None = None,
        symbols: Sequence[int | None] | None = None,
    ) -> SessionDecoder:
        """Infer a session's symbols with what is known of the subject; parameters and errors as in `SessionDecoder.fit`."""
        return SessionDecoder(self.response).fit(X, lit, trials, symbols)

    def decision_function(self, X: NDArray[np.floating]) -> Array:
        """Return the log-odds of Target of each epoch on its own."""
        return self.scorer.log_odds(X)

    def predict_proba(self, X: NDArray[np.floating], *, adapt: bool = False) -> Array:
        """Return the probability of NonTarget and Target.

        Parameters
        ----------
        X : ndarray, shape (n_epochs, n_channels * n_times)
            Features in volts.
        adapt : bool
            Whether the epochs are of one recording, and the model adapts to it, without labels. Otherwise each is taken on its own.

        Returns
        -------
        probability : ndarray, shape (n_epochs, 2)
        """
        target = self.scorer.probability_target(X, adapt=adapt)
        return np.column_stack([1 - target, target])

    def predict(self, X: NDArray[np.floating]) -> NDArray[np.integer]:
        """Return the likelier class of each epoch, 1 or 2."""
        return np.where(self.predict_proba(X)[:, 1] >= 0.5, TARGET, NON_TARGET)

    def _add(self, statistics: PersonalStatistics) -> Self:
        self.statistics = self.statistics + statistics if self.statistics else statistics
        return self


def any_known(symbols: Sequence[int | None]) -> bool:
    """Say whether any symbol is known."""
    return any(symbol is not None for symbol in symbols)


def _undecided(n_certain: int, n_symbols: int) -> list[str]:
    if n_symbols and n_certain >= MIN_CERTAIN_SHARE * n_symbols:
        return []
    return [
        f"{n_certain} of {n_symbols} symbols are at least {CERTAIN:.0%} likely or confirmed; expected {MIN_CERTAIN_SHARE:.0%} of them. "
        "Flash more repetitions, confirm symbols, or calibrate."
    ]


def _contradicted(posterior: Sequence[Array], confirmed: Sequence[int | None]) -> list[str]:
    """Say where the flashes say less of the confirmed symbols than guessing would."""
    known = [(p, symbol) for p, symbol in zip(posterior, confirmed, strict=True) if symbol is not None]
    if not known:
        return []
    gain = np.mean([np.log(max(p[symbol], np.finfo(float).tiny) * len(p)) for p, symbol in known])
    if gain > 0:
        return []
    return [
        f"The flashes do not agree with the {len(known)} symbols confirmed: chance would be likelier. Check which group each flash lit."
    ]

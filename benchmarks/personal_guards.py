"""Where there is nothing to learn from: permuted controls, and sessions that a model must not learn from."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from p300.decoding.whitened import Whitened
from p300.models.personal import PersonalModel
from personal_scores import Arrays, auc, listed, personal
from rich.table import Table
from sizes import size
from spellers import SUBJECTS, Run

N_PERMUTATIONS = size(40, short=2)
SOME_SWAPS = [(0, 1), (2, 4), (5, 7), (1, 3), (3, 6)]

Runs = Mapping[tuple[str, int], Run]


def control_values(of: Mapping[str, Arrays], runs: Runs) -> dict[str, list[float]]:
    """Return AUCs by subject that must be 0.5, means over permutations.

    Where labels of the calibration are permuted, what other people's response says is no control: the score is the part that the subject's
    own flashes add to the posterior mean.
    """
    rng = np.random.default_rng(0)
    groups, labels = [], []
    for subject in SUBJECTS:
        run, calibration = runs[subject, 2], runs[subject, 1]
        permuted = []
        for _ in range(N_PERMUTATIONS):
            order = rng.permutation(len(run.y))
            session = PersonalModel(of[subject]).session(run.X[order], run.lit, run.trials)
            permuted.append(auc(run.y, session.log_likelihood_ratio_))
        groups.append(float(np.mean(permuted)))
        permuted = []
        for _ in range(N_PERMUTATIONS):
            y = np.concatenate([rng.permutation(calibration.y[trial]) for trial in calibration.trials])
            white = Whitened.of(run.X, PersonalModel(of[subject]).fit(calibration.X, y).response)
            own = white.own_contrast / white.start().precision
            permuted.append(auc(run.y, white.ratio(white.z, own)))
        labels.append(float(np.mean(permuted)))
    return {"flashes among each other, within the run": groups, "labels of a calibration of five symbols": labels}


def control_table(values: Mapping[str, list[float]]) -> Table:
    table = Table(title=f"Controls, AUC expected 0.5, {N_PERMUTATIONS} permutations a subject", title_justify="left")
    for column in ("permuted", "mean", "by subject"):
        table.add_column(column)
    for name, by_subject in values.items():
        table.add_row(name, f"{np.mean(by_subject):.3f}", listed(by_subject))
    return table


RIGHT = "the subject's other run"


def lessons(
    of: Mapping[str, Arrays], runs: Runs, ks: Sequence[int], *, all_swaps: bool = False
) -> dict[tuple[str, int], list[bool]]:
    """Offer sessions to models that know k symbols of the subject; return which were learnt from, by what was offered and k."""
    counts: dict[tuple[str, int], list[bool]] = {}
    for subject in SUBJECTS:
        for number in (1, 2):
            for k in ks:
                model = personal(of[subject], runs[subject, 3 - number], k)
                for name, sessions in _offered(runs, subject, number, all_swaps=all_swaps).items():
                    for run in sessions:
                        lesson = model.learn(run.X, run.lit, run.trials)
                        model.statistics = lesson.before
                        counts.setdefault((name, k), []).append(lesson.learnt)
    return counts


def guard_table(of: Mapping[str, Arrays], runs: Runs, *, all_swaps: bool) -> Table:
    counts = lessons(of, runs, (0, 1, 5), all_swaps=all_swaps)
    table = Table(title="Sessions offered, and how many the model learnt from", title_justify="left")
    for column in ("session", "k = 0", "k = 1", "k = 5"):
        table.add_column(column)
    for name in dict.fromkeys(name for name, _ in counts):
        table.add_row(name, *(f"{sum(counts[name, k])} of {len(counts[name, k])}" for k in (0, 1, 5)))
    return table


def _offered(runs: Runs, subject: str, number: int, *, all_swaps: bool) -> dict[str, list[Run]]:
    rng = np.random.default_rng(1)
    run = runs[subject, number]

    def swapped(one: int, other: int) -> Run:
        order = np.arange(8)
        order[[one, other]] = other, one
        return run.changed(run.X.reshape(len(run.y), 8, -1)[:, order].reshape(run.X.shape))

    pairs = list(combinations(range(8), 2)) if all_swaps else SOME_SWAPS
    return {
        RIGHT: [run],
        "another subject's": [other for (who, _), other in runs.items() if who != subject],
        "white noise": [run.changed((rng.standard_normal(run.X.shape) * 1e-5).astype(np.float32))],
        "flashes permuted": [run.changed(run.X[rng.permutation(len(run.y))])],
        "two electrodes swapped": [swapped(*pair) for pair in pairs],
        "in microvolts": [run.changed(run.X * 1e6)],
    }

"""Subjects of other laboratories, with BNCI 2015-003's five as the population: they had no part in any choice."""

from collections.abc import Mapping

import numpy as np
import spellers
from p300 import models
from p300.models import RecordingEpochs
from p300.models.cross_validation import cross_validate
from p300.models.data import blocks
from p300.models.personal import PersonalModel
from personal_scores import SCORES, auc, fitted, own_alone, personal
from rich.table import Table
from spellers import Run

CHANNELS = ("Fz", "Cz", "P3", "Pz", "P4", "PO7", "Oz", "PO8")
SHARED = ("Cz", "P3", "Pz", "P4")
"""Channels that Brain Invaders' montage of 16 has too."""


def stranger_table(runs: Mapping[tuple[str, int], Run]) -> Table:
    table = Table(title="AUC of strangers", title_justify="left")
    for column in ("subject", "calibration", *SCORES, "own alone"):
        table.add_column(column)
    population = [run.epochs for run in runs.values()]
    for row in [*_bci2000(population), *_brain_invaders(population), _within_brain_invaders()]:
        table.add_row(*row)
    return table


def _bci2000(population: list[RecordingEpochs]) -> list[list[str]]:
    arrays, run, rows = fitted(population), spellers.bci2000(), []
    for k in (0, 1, 2):
        rest = run.part(k, 4 - k)
        model = personal(arrays, run, k)
        cells = [f"{auc(rest.y, score(model, rest)):.3f}" for score in SCORES.values()]
        own = f"{own_alone(run.part(0, k).epochs, rest.epochs):.3f}" if k else ""
        rows.append(["BCI2000, 4 symbols", f"first {k}, tested on the rest", *cells, own])
    return rows


def _brain_invaders(population: list[RecordingEpochs]) -> list[list[str]]:
    """Nobody wrote down what flashed, so only scores without flash groups can be computed."""
    picks = [CHANNELS.index(name) for name in SHARED]
    four = [RecordingEpochs(one.recording, one.subject, _picked(one.X, picks), one.y, len(picks)) for one in population]
    arrays, invader, rows = fitted(four), spellers.brain_invaders(SHARED), []
    for n in (0, 120, 240):
        model, rest = PersonalModel(arrays), invader.take(np.arange(n, len(invader.y)))
        first = invader.take(np.arange(n))
        if n:
            model.fit(first.X, first.y)
        cells = [f"{auc(rest.y, model.scorer.log_odds(rest.X, adapt=adapt)):.3f}" for adapt in (True, False)]
        own = f"{own_alone(first, rest):.3f}" if n else ""
        rows.append(
            ["Brain Invaders, 4 shared channels", f"first {n} flashes, tested on the rest", "", "", "", *cells, own]
        )
    return rows


def _within_brain_invaders() -> list[str]:
    whole = spellers.brain_invaders()
    model = models.make("ensemble", n_channels=whole.n_channels, n_times=whole.n_times)
    folds = cross_validate(model, list(blocks([whole], 5)), lambda block: block.subject).folds.values()
    means = [np.mean([auc(p.y, p.within_recording) for p in folds]), np.mean([auc(p.y, p.alone) for p in folds])]
    return [
        "Brain Invaders, 16 channels",
        "the other four blocks of five",
        "",
        "",
        "",
        *(f"{mean:.3f}" for mean in means),
        "",
    ]


def _picked(X: np.ndarray, channels: list[int]) -> np.ndarray:
    return X.reshape(len(X), len(CHANNELS), -1)[:, channels].reshape(len(X), -1)

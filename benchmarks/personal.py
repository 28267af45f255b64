"""What a subject's own flashes add to other people's, on real recordings: single flashes and symbols.

    python benchmarks/personal.py [--directions] [--filters] [--swaps]

Data: BNCI Horizon 2020 003-2015, five subjects with two runs of five symbols (15 repetitions of 12 flashes). Each subject is tested on
run 2, with k symbols of run 1 as calibration and both runs of the other four as the population; ``--directions`` also tests on run 1 with
run 2 as calibration. No constant is chosen here; ``--filters`` shows for each subject which number of spatial filters the other four
alone would choose. The subjects of Brain Invaders 2012 and of BCI2000's sample had no part in any choice. Nothing is asserted.

Scores: "session" is `SessionDecoder` with the whole session known, "end of symbol" with nothing after the symbol, "causal" with nothing
after the flash; "recording" is the model's own score within a recording whose flash groups nobody knows, "single epochs" each epoch alone.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from p300 import models
from p300.decoding import Response, SessionDecoder, Share, components
from p300.metrics import calibration_by_subject
from p300.models.cross_validation import cross_validate
from p300.models.personal import PersonalModel
from personal_guards import RIGHT, control_table, control_values, guard_table, lessons
from personal_scores import SCORES, UNLABELLED, Arrays, Calibration, auc, fitted, listed, own_alone, personal
from personal_strangers import stranger_table
from rich.console import Console
from rich.table import Table
from sizes import size
from spellers import SUBJECTS, bnci
from training import row

CALIBRATIONS: tuple[Calibration, ...] = size((0, 1, 2, 5, UNLABELLED), short=(0, 1))
LABELLED = size((1, 2, 5), short=(1,))
SECONDS_A_SYMBOL = 180 * 20 / 256 + 3.7
"""15 repetitions of 12 flashes, 20 samples apart, and the pause before them."""


def populations() -> dict[str, Arrays]:
    """Return the model of the other subjects, for each."""
    return {s: fitted([run.epochs for (other, _), run in bnci().items() if other != s]) for s in SUBJECTS}


# ---- single flashes
Aucs = dict[tuple[str, Calibration], np.ndarray]
"""AUC by subject, for each score and calibration, and "own alone"."""


def aucs(of: dict[str, Arrays], tested: int) -> Aucs:
    found: Aucs = {}
    for k in CALIBRATIONS:
        by_score: dict[str, list[float]] = {}
        for subject in SUBJECTS:
            run, calibration = bnci()[subject, tested], bnci()[subject, 3 - tested]
            model = personal(of[subject], calibration, k)
            for name, score in SCORES.items():
                by_score.setdefault(name, []).append(auc(run.y, score(model, run)))
            if isinstance(k, int) and k:
                own = own_alone(calibration.part(0, k).epochs, run.epochs)
                by_score.setdefault("own alone", []).append(own)
        found |= {(name, k): np.array(values) for name, values in by_score.items()}
    return found


def worst(found: Aucs, name: str, k: Calibration) -> float:
    """Return how far the worst subject is from the better of the population's model and own data alone."""
    return float((found[name, k] - np.maximum(found[name, 0], found["own alone", k])).min())


def auc_table(found: Aucs, tested: int) -> Table:
    table = Table(
        title=f"ROC AUC on run {tested} after k symbols of the other run: mean, and by subject", title_justify="left"
    )
    for column in ("score", *(f"k = {k}" if k != UNLABELLED else "unlabelled run" for k in CALIBRATIONS), "worst"):
        table.add_column(column)
    for name in (*SCORES, "own alone"):
        by_k = [found.get((name, k)) for k in CALIBRATIONS]
        cells = ["" if values is None else f"{values.mean():.3f}\n[dim]{listed(values)}[/dim]" for values in by_k]
        differences = [] if name == "own alone" else [worst(found, name, k) for k in LABELLED]
        table.add_row(name, *cells, " ".join(f"{value:+.3f}" for value in differences))
    table.caption = (
        "worst: any subject, against the better of k = 0 and own data alone (better of LDA and ensemble); k = 1, 2, 5"
    )
    return table


# ---- symbols
def symbols(of: dict[str, Arrays], k: Calibration, n: int) -> list[tuple[bool, float]]:
    """Decode every symbol of both runs after n repetitions; return whether right, and the confidence."""
    found = []
    for number in (1, 2):
        for subject in SUBJECTS:
            model = personal(of[subject], bnci()[subject, 3 - number], k)
            run = bnci()[subject, number].part(0, 5, n)
            for trial in range(5):
                so_far = run.part(0, trial + 1, n)
                decoding = model.session(so_far.X, so_far.lit, so_far.trials).decode()
                found.append((decoding.best == so_far.truth[-1], decoding.confidence))
    return found


def symbol_table(of: dict[str, Arrays]) -> Table:
    table = Table(title="Symbols right, of 50 in both runs, with 95 % Wilson intervals", title_justify="left")
    for column in ("calibration", "4 repetitions", "8", "15", "confidence over 0.95: right"):
        table.add_column(column)
    for k in (0, 2, UNLABELLED):
        by_n = [symbols(of, k, n) for n in (4, 8, 15)]
        shares = [Share.of([right for right, _ in found]) for found in by_n]
        sure = Share.of([right for found in by_n for right, confidence in found if confidence > 0.95])
        cells = [f"{share.n_right} {_interval(share)}" for share in shares]
        name = f"k = {k}" if k != UNLABELLED else "unlabelled run"
        table.add_row(name, *cells, f"{sure.n_right} of {sure.n} {_interval(sure)}")
    return table


def _interval(share: Share) -> str:
    return "({:.2f}-{:.2f})".format(*share.interval) if share.interval else ""


# ---- the population's model
def population_table() -> tuple[Table, float]:
    """Leave each subject out, as the pipeline's training does, and show calibration within left-out subjects."""
    epochs = [run.epochs for run in bnci().values()]
    model = models.make("ensemble", n_channels=epochs[0].n_channels, n_times=epochs[0].n_times)
    folds = cross_validate(model, epochs, lambda r: r.subject).folds
    table = Table(
        title="Population model, each subject left out: AUC; deciles predicted / observed, means over subjects",
        title_justify="left",
    )
    for column in ("score", "mean", "by subject", "lowest decile", "2nd", "5th", "9th", "highest"):
        table.add_column(column)
    means = {}
    for name in ("alone", "within_recording", "session"):
        values = np.array([auc(p.y, getattr(p, name)) for p in folds.values()])
        means[name] = float(values.mean())
        deciles = calibration_by_subject({fold: (p.y, getattr(p, name)) for fold, p in folds.items()})
        cells = [f"{deciles[k]['predicted']:.3f} / {deciles[k]['observed']:.3f}" for k in (0, 1, 4, 8, 9)]
        table.add_row(name.replace("_", " "), f"{values.mean():.3f}", listed(values), *cells)
    return table, means["within_recording"]


def filters_table() -> Table:
    """Choose the number of spatial filters for each subject by the other four alone."""
    table = Table(
        title="Spatial filters, chosen without each subject: AUC of sessions and recordings, log-loss of symbols",
        title_justify="left",
    )
    for column in ("filters", *SUBJECTS, "all"):
        table.add_column(column)
    before = components.N_FILTERS
    for n in (3, 4, 5, 6, 7, 8):
        components.N_FILTERS = n
        means = [np.mean(_inner([s for s in SUBJECTS if s != without]), axis=0) for without in (*SUBJECTS, "")]
        table.add_row(str(n), *(listed(mean) for mean in means))
    components.N_FILTERS = before
    return table


def _inner(subjects: list[str]) -> list[list[float]]:
    found = []
    for s in subjects:
        response = Response.fit(
            [r.epochs for (other, _), r in bnci().items() if other in subjects and other != s], 100.0
        )
        for number in (1, 2):
            run, short = bnci()[s, number], bnci()[s, number].part(0, 5, 6)
            whole = SessionDecoder(response).fit(run.X, run.lit, run.trials).log_likelihood_ratio_
            lone = SessionDecoder(response).fit(run.X).log_likelihood_ratio_
            posterior = SessionDecoder(response).fit(short.X, short.lit, short.trials).posterior_
            loss = -np.mean([np.log(max(p[t], 1e-9)) for p, t in zip(posterior, short.truth, strict=True)])
            found.append([auc(run.y, whole), auc(run.y, lone), float(loss)])
    return found


def cost_table(of: dict[str, Arrays]) -> Table:
    table = Table(title="Processor time, ms", title_justify="left")
    for column in ("what", "ms"):
        table.add_column(column, justify="right" if column == "ms" else "left")
    subject = SUBJECTS[0]
    run, population = bnci()[subject, 2], PersonalModel(of[subject])
    model, first = personal(of[subject], bnci()[subject, 1], 5), run.part(0, 1)

    def ms(call: Callable[[], object], n: int) -> str:
        call()
        start = time.process_time()
        for _ in range(n):
            call()
        return f"{1e3 * (time.process_time() - start) / n:.3f}"

    table.add_row("one epoch, personal model", ms(lambda: model.scorer.log_odds(run.X[:1]), 2000))
    table.add_row("one epoch, population model", ms(lambda: population.scorer.log_odds(run.X[:1]), 2000))
    table.add_row("a session of 1 symbol, 180 flashes", ms(lambda: model.session(first.X, first.lit, first.trials), 20))
    table.add_row("a session of 5 symbols, 900 flashes", ms(lambda: model.session(run.X, run.lit, run.trials), 20))
    table.add_row("a calibration of 5 symbols", ms(lambda: PersonalModel(of[subject]).fit(run.X, run.y), 10))
    return table


# ---- what is asked for
ASKED: dict[str, dict[Calibration, float]] = {
    "session": {0: 0.855, 1: 0.86, 2: 0.862, 5: 0.87, UNLABELLED: 0.87},
    "causal": {0: 0.835, 1: 0.85, 2: 0.853, 5: 0.866},
    "recording": {1: 0.83, 2: 0.84, 5: 0.86},
}
ASKED_SYMBOLS: dict[Calibration, tuple[int, int, int]] = {0: (31, 44, 47), 2: (36, 44, 46), UNLABELLED: (41, 46, 46)}


N_REPETITIONS = size((4, 8, 15), short=(4,))


def promised() -> list[dict[str, object]]:
    """Return a row for each number that personal models promise, tested on run 2."""
    of = populations()
    found = aucs(of, 2)
    rows = [
        row(f"personal model, AUC, {name}, k = {k}", float(found[name, k].mean()), at_least=bound)
        for name, by_k in ASKED.items()
        for k, bound in by_k.items()
        if k in CALIBRATIONS
    ]
    for name in ("session", "causal", "recording", "single epochs"):
        lowest = min(worst(found, name, k) for k in LABELLED)
        rows.append(
            row(f"personal model, {name}: any subject against the better of own and others", lowest, at_least=-0.01)
        )
    sure = []
    for k, bounds in ASKED_SYMBOLS.items():
        if k not in CALIBRATIONS:
            continue
        for n, bound in zip(N_REPETITIONS, bounds, strict=False):
            decoded = symbols(of, k, n)
            share = Share.of([right for right, _ in decoded])
            name = f"personal model, symbols of {share.n}, k = {k}, {n} repetitions {_interval(share)}"
            rows.append(row(name, share.n_right, at_least=bound))
            sure += [right for right, confidence in decoded if confidence > 0.95]
    if sure:  # a short run may have none
        rows.append(
            row("personal model, symbols with confidence over 0.95: right", float(np.mean(sure)), at_least=0.95)
        )
    learnt = lessons(of, bnci(), (1,))
    wrong = sum(sum(found) for (name, _), found in learnt.items() if name != RIGHT)
    rows.append(row("personal model, k = 1, sessions learnt from that are wrong", wrong, at_most=0))
    for name, by_subject in control_values(of, bnci()).items():
        away = abs(float(np.mean(by_subject)) - 0.5)
        rows.append(row(f"personal model, control, {name}: AUC from 0.5", away, at_most=0.02))
    rows.append(row("population model, AUC of left-out subjects", population_table()[1], at_least=0.815))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directions", action="store_true", help="also test on run 1, calibrated on run 2")
    parser.add_argument("--filters", action="store_true", help="choose the number of filters without each subject")
    parser.add_argument("--swaps", action="store_true", help="swap every pair of electrodes")
    arguments = parser.parse_args()
    console = Console(width=None if Console().is_terminal else 170)
    of = populations()
    for tested in (2, 1) if arguments.directions else (2,):
        console.print(auc_table(aucs(of, tested), tested))
    console.print(symbol_table(of))
    console.print(population_table()[0])
    console.print(stranger_table(bnci()))
    console.print(control_table(control_values(of, bnci())))
    console.print(guard_table(of, bnci(), all_swaps=arguments.swaps))
    console.print(cost_table(of))
    if arguments.filters:
        console.print(filters_table())


if __name__ == "__main__":
    main()

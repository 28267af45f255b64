"""Why the default model is the default: every kind, with and without alignment, on people it has not seen, chosen without them.

``python benchmarks/models.py`` leaves each person of BNCI 2015-003 out in turn. The nested row is the figure to believe for the choice
itself: for each person left out, the setting is chosen by leave-one-subject-out among the others alone, and only then tested on that
person. ``--settings`` also chooses among the default's inner settings that way. The person of Brain Invaders 2012, on another montage,
took no part in any choice but is tested in five blocks of time. Nothing is asserted: tests/unit/p300/test_models_real.py does that.

`p300.models.ensemble` has the table, and what was tried. Each epoch on its own, as when epochs are asked for one by one, nothing can be
adapted to, and alignment gains nothing.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from p300 import models, scoring
from p300.decoding import components, whitened
from p300.metrics import roc_auc
from p300.models import RecordingEpochs, xdawn
from p300.models.cross_validation import cross_validate
from p300.models.data import blocks
from real_data import needed
from rich.console import Console
from rich.progress import track
from rich.table import Table

N_BLOCKS = 5


@dataclass(frozen=True, eq=False)
class Setting:
    """A kind of model, aligned or not, and what is changed inside it."""

    kind: str
    align: bool
    changes: Mapping[tuple[Any, str], Any] = field(default_factory=dict)

    def __str__(self) -> str:
        changes = "".join(f", {name.lower()} {value:g}" for (_, name), value in self.changes.items())
        return f"{self.kind}{', aligned' if self.align else ''}{changes}"

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Change what is changed, for as long as a fit takes."""
        before = {key: getattr(*key) for key in self.changes}
        try:
            for (module, name), value in self.changes.items():
                setattr(module, name, value)
            yield
        finally:
            for (module, name), value in before.items():
                setattr(module, name, value)


KINDS = [Setting(kind, align) for kind in models.KINDS for align in (False, True)]
INSIDE: list[tuple[Any, str, list[float]]] = [
    (scoring, "RESPONSE_FLASHES", [12.0, 50.0]),
    (scoring, "UNLABELLED", [0.1, 1.0]),
    (components, "N_FILTERS", [4, 8]),
    (whitened, "PRIOR_EPOCHS", [50.0, 800.0]),
    (xdawn, "N_FILTERS", [3, 6]),
]
SETTINGS = [Setting("ensemble", True)] + [
    Setting("ensemble", True, {(module, name): value}) for module, name, values in INSIDE for value in values
]

Aucs = dict[str, tuple[float, float]]
"""By what was left out: AUC with the model adapted to the recording where its kind adapts, and with each epoch on its own."""


def left_out(setting: Setting, recordings: list[RecordingEpochs], fold_of: Callable[[RecordingEpochs], str]) -> Aucs:
    """Leave each fold out in turn."""
    model = models.make(
        setting.kind, n_channels=recordings[0].n_channels, n_times=recordings[0].n_times, align=setting.align
    )
    with setting.applied():
        folds = cross_validate(model, recordings, fold_of).folds
    return {name: (roc_auc(p.y, p.within_recording) or 0.0, roc_auc(p.y, p.alone) or 0.0) for name, p in folds.items()}


def nested(
    settings: list[Setting], recordings: list[RecordingEpochs], outer: dict[Setting, Aucs]
) -> dict[str, Setting]:
    """Return the setting that the other people alone would have chosen, for each person."""
    chosen = {}
    for person in track(list(outer[settings[0]]), "choosing without each"):
        others = [recording for recording in recordings if recording.subject != person]
        inner = {
            setting: np.mean([auc for auc, _ in left_out(setting, others, lambda r: r.subject).values()])
            for setting in settings
        }
        chosen[person] = max(settings, key=lambda setting: inner[setting])
    return chosen


def load(data_set: str) -> list[RecordingEpochs]:
    """Return a data set's recordings, preprocessed as the chain does."""
    from p300.readers import open_recording
    from p300.signals import extract

    found = []
    for path in sorted(needed(data_set).rglob("*.parquet")):
        features = extract(open_recording(path))
        found.append(RecordingEpochs(path.stem, path.parent.name, features.X, features.label, len(features.ch_names)))
    return found


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", action="store_true", help="choose among the default's inner settings")
    settings = SETTINGS if parser.parse_args().settings else KINDS
    console = Console(width=None if Console().is_terminal else 150)
    people, single = load("bnci_2015_003"), load("brain_invaders_2012")
    outer = {setting: left_out(setting, people, lambda r: r.subject) for setting in track(settings, "leaving out")}
    within = {setting: left_out(setting, list(blocks(single, N_BLOCKS)), lambda r: r.subject) for setting in settings}
    chosen = nested(settings, people, outer)
    names = list(outer[settings[0]])
    table = Table(title="ROC AUC: BNCI 2015-003, each person left out; BI 2012, one person, each block left out")
    for column in ("setting", *names, "mean", "each epoch alone", "BI 2012", "alone"):
        table.add_column(column, justify="left" if column == "setting" else "right")
    for setting in settings:
        aucs = outer[setting]
        row = [*(aucs[name][0] for name in names), *np.mean(list(aucs.values()), axis=0)]
        row += list(np.mean(list(within[setting].values()), axis=0))
        table.add_row(str(setting), *(f"{value:.3f}" for value in row))
    aucs = {name: outer[chosen[name]][name] for name in names}
    row = [*(aucs[name][0] for name in names), *np.mean(list(aucs.values()), axis=0)]
    table.add_section()
    table.add_row("nested: chosen without that person", *(f"{value:.3f}" for value in row), "", "")
    console.print(table)
    for name in names:
        console.print(f"{name}: {chosen[name]}", highlight=False)


if __name__ == "__main__":
    main()

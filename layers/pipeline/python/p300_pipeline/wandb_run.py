"""One Weights & Biases run: config, figures, tables, curves and a model, kept offline in a folder or sent at once."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import wandb

PROJECT = "p300-bci-mlops"
Points = Sequence[Mapping[str, float]]
"""Points of a curve, each with the same two or more named coordinates."""
_AXES = {
    "roc": ("false_positive_rate", "true_positive_rate"),
    "precision_recall": ("recall", "precision"),
    "calibration": ("predicted", "observed"),
    "learning": ("n_subjects", "roc_auc"),
}


@dataclass(frozen=True)
class Destination:
    """Where runs go.

    Attributes
    ----------
    project : str
        W&B project.
    mode : {"offline", "online"}
        ``online`` needs `api_key`; without one runs are kept offline.
    api_key : str or None
        W&B API key.
    """

    project: str = PROJECT
    mode: str = "offline"
    api_key: str | None = None

    @property
    def online(self) -> bool:
        """Whether runs are sent at once."""
        return self.mode == "online" and bool(self.api_key)


@dataclass(frozen=True)
class Run:
    """The content of a run.

    Attributes
    ----------
    id : str
        Letters, digits, ``-`` and ``_``; a run of the same id is the same run.
    job_type : str
        ``training`` or ``batch-evaluation``.
    group : str
        Version of the model: what was done with it stands together.
    config : mapping
        JSON-able.
    figures : mapping of str to float
        Metrics, ``<group>/<name>``.
    tables : mapping of str to sequence of mapping
        Rows by column; the first row names the columns.
    curves : mapping of str to sequence of mapping
        ``roc``, ``precision_recall``, ``calibration``, ``learning``: their points.
    summary : mapping
        Further entries in the run's overview.
    artifact : str
        Name of the model artifact.
    files : mapping of str to bytes
        Files of the artifact; without any, there is no artifact.
    """

    id: str
    job_type: str
    group: str
    config: Mapping[str, Any]
    figures: Mapping[str, float]
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    curves: Mapping[str, Points] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    artifact: str = "model"
    files: Mapping[str, bytes] = field(default_factory=dict)


def batch_evaluation(
    run_id: str,
    version: str,
    rows: Sequence[Mapping[str, Any]],
    overall: Mapping[str, Any],
    *,
    curves: Mapping[str, Points] | None = None,
    config: Mapping[str, Any] | None = None,
) -> Run:
    """Return the run of one batch of recordings that a model has scored; `write` writes it.

    Parameters
    ----------
    run_id : str
        Names the batch; letters, digits, ``-`` and ``_``.
    version : str
        The model's version.
    rows : sequence of mapping
        One row per subject or recording, all with the same columns: its name and figures, None for what is not there.
    overall : mapping
        Metrics over all epochs, as `p300.metrics.classification_metrics` returns them; values that are not numbers are left out.
    curves : mapping, optional
        As `p300.metrics.curves` returns.
    config : mapping, optional
        What else tells how the batch was made: whether the model had seen the people, which API answered, ...

    Returns
    -------
    run : Run

    Examples
    --------
    >>> run = batch_evaluation("v20260102030405-simulation", "v20260102030405", rows, figures, curves=curves(y, p))
    >>> write(run, Path("wandb/v20260102030405-simulation"), Destination())  # offline, in project p300-bci-mlops
    """
    return Run(
        run_id,
        "batch-evaluation",
        group=version,
        config={"model_version": version, **(config or {})},
        figures=numbers("overall", overall),
        tables={"subjects": rows},
        curves=curves or {},
    )


def numbers(group: str, figures: Mapping[str, Any] | None) -> dict[str, float]:
    """Return the figures that are numbers, as ``<group>/<name>``."""
    return {
        f"{group}/{name}": value
        for name, value in (figures or {}).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def write(run: Run, folder: Path, destination: Destination) -> str:
    """Write a run; return its id.

    Parameters
    ----------
    run : Run
        What it tells.
    folder : Path
        Everything W&B writes stays in it, as a run that is synced later needs the artifact files that W&B stages: an offline
        run goes to ``<folder>/wandb/offline-run-<time>-<id>``. It is made where it is missing.
    destination : Destination
        Where the run goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.glob("wandb/*"))
    with _environment(folder, destination.api_key):
        import wandb

        settings = wandb.Settings(console="off", x_disable_stats=True, disable_git=True, disable_code=True)
        logged = wandb.init(
            project=destination.project,
            id=run.id,
            name=run.id,
            group=run.group,
            job_type=run.job_type,
            config=dict(run.config),
            mode="online" if destination.online else "offline",
            dir=str(folder),
            settings=settings,
            reinit="finish_previous",
        )
        try:
            logged.log({**run.figures, **_tables(run), **_charts(run)})
            logged.summary.update(dict(run.summary))
            if run.files:
                logged.log_artifact(_artifact(run))
        finally:
            logged.finish()
            wandb.teardown()  # its service process writes the end of the run's file only now
    for found in set(folder.glob("wandb/offline-run-*")) - before:
        # Not named by the time of this attempt where the id tells one: a retry must write over what an attempt that
        # died left behind, or the run is there twice.
        stamp = run.group[1:9] + "_" + run.group[9:] if run.group[1:].isdigit() else found.name.split("-")[2]
        found.rename(found.with_name(f"offline-run-{stamp}-{run.id}"))
    return run.id


@contextmanager
def _environment(folder: Path, api_key: str | None) -> Iterator[None]:
    wanted = {name: str(folder) for name in ("WANDB_DIR", "WANDB_DATA_DIR")}
    wanted |= {name: str(folder / "wandb-cache") for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")}
    wanted["WANDB_SILENT"] = "true"
    if api_key:
        wanted["WANDB_API_KEY"] = api_key
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _tables(run: Run) -> dict[str, "wandb.Table"]:
    return {name: _table(rows) for name, rows in run.tables.items() if rows}


def _table(rows: Sequence[Mapping[str, Any]]) -> "wandb.Table":
    import wandb

    columns = list(rows[0])
    return wandb.Table(columns=[*columns], data=[[row[column] for column in columns] for row in rows])


def _charts(run: Run) -> dict[str, Any]:
    import wandb

    charts = {}
    for name, points in run.curves.items():
        if not points:
            continue
        x, y = _AXES.get(name) or list(points[0])[:2]
        charts[f"{name}_curve"] = wandb.plot.line(_table(points), x, y, title=f"{name.replace('_', ' ')} curve")
    return charts


def _artifact(run: Run) -> "wandb.Artifact":
    import wandb

    artifact = wandb.Artifact(run.artifact, type="model", metadata={"version": run.group})
    for name, content in run.files.items():
        with artifact.new_file(name, mode="wb") as file:
            file.write(content)
    return artifact

"""One model version: its figures on left-out subjects, beside the reference, and its pictures."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from p300.chance import chance_of, in_words
from p300.errors import ArtifactError
from p300.text import few_of, n_of
from p300_pipeline.provenance import short
from p300_pipeline.registry import Registry

from p300_cli.terminal import escape, fail, note, out, print_json, table

FIGURES = ("roc_auc", "average_precision", "balanced_accuracy", "accuracy", "kappa", "brier")
SHOWN_LEFT_OUT = 10
WAYS = {"interpolated": "they were interpolated", "common": "the model takes the common ones"}
TITLES = ("AUC", "avg. precision", "balanced acc.", "accuracy", "kappa", "Brier")


def show_model(registry: Registry, name: str, folder: Path, *, as_json: bool = False) -> list[Path]:
    """Print what a version is worth, and fetch its pictures.

    Parameters
    ----------
    registry : Registry
        The models.
    name : str
        A version, or an alias of it.
    folder : Path
        Pictures go to ``<folder>/<version>/``.
    as_json : bool
        Whether to print for a script.

    Returns
    -------
    pictures : list of Path
    """
    try:
        manifest = registry.manifest(registry.resolve(name))
    except ArtifactError as error:
        fail(f"{error.message} `p300 models` lists the versions.")
    version = manifest["version"]
    aliases = [alias for alias, held in registry.aliases()[0].items() if held == version]
    history = [entry for entry in registry.history() if version in {entry["version"], entry.get("replaced")}]
    evaluation = registry.evaluation(version)
    pictures = fetch_pictures(registry, manifest, folder / version)
    if as_json:
        paths = [str(path) for path in pictures]
        print_json({**manifest, "aliases": aliases, "history": history, "evaluation": evaluation, "pictures": paths})
        return pictures
    _print_facts(manifest, aliases)
    metrics = manifest["metrics"]
    out.print(table("Figures", ["what was tested", *TITLES], [*_summary(metrics, evaluation)]))
    if chance := chance_of(metrics):
        style = "yellow" if chance["at_chance"] else "default"
        words = (
            f"{in_words(chance)}, AUC {chance['roc_auc']:.3f}" if chance["roc_auc"] is not None else in_words(chance)
        )
        out.print(
            f"[{style}]{words}: epochs on their own, against labels shuffled within recordings[/{style}]",
            highlight=False,
        )
    if metrics["note"]:
        out.print(f"[yellow]{escape(metrics['note'])}[/yellow]")
    if drawn := manifest.get("drawn_subjects"):
        out.print(f"[yellow]{drawn['n']:,} of {drawn['of']:,} subjects, drawn with seed {drawn['seed']}.[/yellow]")
    out.print(_by_fold(manifest))
    out.print(_confusion(metrics))
    out.print(_calibration(metrics))
    if history:
        out.print(_history(history))
    for path in pictures:
        out.print(str(path), soft_wrap=True, highlight=False)
    return pictures


def fetch_pictures(registry: Registry, manifest: Mapping[str, Any], folder: Path) -> list[Path]:
    """Download a version's pictures into a folder; return the files."""
    paths = []
    for name in registry.pictures(manifest["version"], manifest):
        try:
            content = registry.picture(manifest["version"], name, manifest)
        except ArtifactError as error:
            note(error.message)
            continue
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        paths.append(folder / name)
    return paths


def _print_facts(manifest: Mapping[str, Any], aliases: Sequence[str]) -> None:
    held_out = ", ".join(manifest["held_out"]) or "nobody"
    out.print(f"[bold]{manifest['version']}[/bold] {escape(' '.join(aliases))}", highlight=False)
    window = f"{manifest['n_times']} samples from {manifest['tmin']:g} s at {manifest['sfreq']:g} Hz"
    for line in (
        f"{manifest['kind']}, trained {manifest['created']} with seed {manifest.get('seed', 0)}",
        f"{len(manifest['subjects'])} subjects, {len(manifest['recordings'])} recordings, {manifest['n_epochs']} epochs; "
        f"held out: {held_out}",
        f"{len(manifest['channels'])} channels ({' '.join(manifest['channels'])}), {window}",
    ):
        out.print(escape(line), highlight=False)
    made_by = manifest.get("features_made_by") or {}
    if made_by and manifest.get("code_digest"):
        code, features = short(manifest["code_digest"]), short(made_by.get("code_digest"))
        out.print(
            f"made by code {code}, its features by {features}; `p300 reproduce {manifest['version']}`", highlight=False
        )
    for line in (*used(manifest.get("left_out") or [], manifest.get("one_person") or []), *montage_lines(manifest)):
        out.print(f"[yellow]{escape(line)}[/yellow]", highlight=False)
    out.print()


def used(
    left_out: Sequence[Mapping[str, Any]], one_person: Sequence[Sequence[str]], n_left_out: int | None = None
) -> Iterator[str]:
    """Yield what a person must know of the recordings a training used: those left out and why, and subjects that are one person.

    Parameters
    ----------
    left_out : sequence of mapping
        ``recording`` and ``reason`` of each, or of the first of `n_left_out`.
    one_person : sequence of sequence of str
        Subjects with recordings in common.
    n_left_out : int, optional
        How many were left out; by default as many as are named.
    """
    total = len(left_out) if n_left_out is None else n_left_out
    for entry in left_out[:SHOWN_LEFT_OUT]:
        yield f"left out: {entry.get('recording')}: {entry.get('reason')}"
    if total > SHOWN_LEFT_OUT:
        yield f"left out: {total - SHOWN_LEFT_OUT} more; `p300 models show VERSION --json` names all"
    for subjects in one_person:
        yield f"one person: {', '.join(subjects)} have recordings in common, and are left out of training together"


def montage_lines(training: Mapping[str, Any]) -> Iterator[str]:
    """Yield which montage a training is of, how missing channels were made up for, and which recordings are of other montages.

    Parameters
    ----------
    training : mapping
        A manifest, or a training's answer.
    """
    montage = training.get("montage")
    if isinstance(montage, dict) and montage.get("used") in WAYS:
        figures = " and ".join(
            f"{montage[name]:.3f} {what}"
            for name, what in (("auc_interpolated", "interpolated"), ("auc_common", "on the common channels"))
            if montage.get(name) is not None
        )
        compared = f" (AUC on left-out subjects: {figures})" if figures else ""
        yield f"montage {montage.get('group')}: some recordings lack channels; {WAYS[montage['used']]}{compared}"
    if n := training.get("n_synthetic"):
        yield f"trained on {n_of(n, 'synthetic recording')}: the metrics say nothing about real subjects"
    others = training.get("other_montages") or []
    by_reason: dict[str, list[str]] = {}
    for entry in others:
        by_reason.setdefault(str(entry.get("reason")), []).append(str(entry.get("recording")))
    for reason, names in by_reason.items():
        yield f"of another montage: {n_of(len(names), 'recording')} ({few_of(names)}): {reason}"
    if (total := training.get("n_other_montages", len(others))) > len(others):
        yield f"of another montage: {total - len(others)} more; `p300 models` lists recordings that are in no model"


def _summary(metrics: Mapping[str, Any], evaluation: Mapping[str, Any] | None) -> Iterator[list[Any]]:
    adapted = metrics["leave_one_subject_out"]
    rows = [
        ("left-out subjects", adapted),
        ("  each epoch on its own", metrics.get("leave_one_subject_out_single_epochs")),
        ("blocks of one subject", metrics["within_subject_blocks"]),
        ("  plain LDA, the reference", metrics.get("reference_lda")),
        ("first recording trained on, the rest tested", metrics["train_first_test_rest"]),
    ]
    for name, part in rows:
        if part:
            yield [name, *(part["mean"][figure] for figure in FIGURES)]
            if part is adapted:
                yield ["  ± sd over subjects", *(part["sd"][figure] for figure in FIGURES)]
    overall = (evaluation or {}).get("overall")
    seen = "seen in training" if (evaluation or {}).get("seen_in_training") else "held out"
    for name, figures in (
        ("labels shuffled: must be at chance", metrics["label_shuffled_control"]),
        ("random split of pooled epochs: optimistic", metrics["pooled_random_split_optimistic"]),
        (f"through inference, recordings {seen}", overall),
    ):
        if figures:
            yield [name, *(figures[figure] for figure in FIGURES)]


def _folds(metrics: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    name = "subjects" if metrics["leave_one_subject_out"] else "blocks"
    return name, (metrics["leave_one_subject_out"] or metrics["within_subject_blocks"])[name]


def _by_fold(manifest: Mapping[str, Any]) -> Any:
    metrics = manifest["metrics"]
    name, folds = _folds(metrics)
    reference = (metrics.get("reference_lda") or {}).get(name) or {}
    rows = []
    for fold, figures in folds.items():
        ours, theirs = figures["roc_auc"], (reference.get(fold) or {}).get("roc_auc")
        difference = f"{ours - theirs:+.3f}" if ours is not None and theirs is not None else None
        rest = [figures[figure] for figure in FIGURES[1:]]
        rows.append([fold, ours, theirs, difference, *rest, figures["n_epochs"], figures["n_targets"]])
    columns = ["left out", "AUC", "plain LDA", "difference", *TITLES[1:], "epochs", "targets"]
    return table("Each left out of training in turn", columns, rows)


def _confusion(metrics: Mapping[str, Any]) -> Any:
    _, folds = _folds(metrics)
    counts = np.sum([figures["confusion_matrix"] for figures in folds.values()], axis=0)
    rows = [[name, *(int(n) for n in row)] for name, row in zip(("NonTarget", "Target"), counts, strict=True)]
    return table("Confusion, at a probability of 0.5", ["was", "taken for NonTarget", "taken for Target"], rows)


def _calibration(metrics: Mapping[str, Any]) -> Any:
    rows = [[bin_["predicted"], bin_["observed"], bin_["n_epochs"]] for bin_ in metrics["calibration_curve"]]
    return table("Calibration on what was left out", ["predicted", "targets among them", "epochs"], rows)


def _history(history: Sequence[Mapping[str, Any]]) -> Any:
    rows = [
        [
            entry.get("at"),
            entry["version"],
            entry.get("replaced"),
            entry.get("auc_challenger"),
            entry.get("auc_champion"),
            entry.get("auc_difference"),
            entry.get("why"),
        ]
        for entry in history
    ]
    columns = ["at", "champion", "instead of", "AUC", "AUC before", "difference", "why"]
    return table("Promotions", columns, rows)

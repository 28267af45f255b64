"""All model versions as a table."""

from typing import Any

from p300_client.model_versions import list_models, registry
from p300_client.personal_models import list_personal
from p300_client.target import Target

from p300_cli.terminal import err, escape, out, print_json, table

MAX_LEFT_OUT = 20


def show_left_out(recordings: dict[str, Any]) -> None:
    """Print which recordings no serving model was trained on, and why."""
    left_out = recordings["left_out"]
    if not left_out:
        return
    out.print(f"{len(left_out)} of {recordings['total']} recordings are in no model that serves:")
    for entry in left_out[:MAX_LEFT_OUT]:
        out.print(escape(f"  {entry['recording']}: {entry['reason']}"), soft_wrap=True)
    if len(left_out) > MAX_LEFT_OUT:
        out.print(f"  and {len(left_out) - MAX_LEFT_OUT} more; `p300 models --json` names all")


def show_models(target: Target, *, as_json: bool = False) -> None:
    """Print all versions, newest first, with their metrics on left-out subjects."""
    found = list_models(target)
    if as_json:
        print_json(found)
        return
    rows = found["models"]
    out.print(
        table(
            "Models (AUC on subjects left out of training; the random split is optimistic)",
            [
                "version",
                "alias",
                "kind",
                "montage",
                "subjects",
                "recordings",
                "epochs",
                "AUC left out",
                "± sd",
                "chance",
                "AUC random split",
            ],
            [
                [
                    row["version"],
                    row["aliases"] or row.get("problem"),
                    *[
                        row.get(name)
                        for name in (
                            "kind",
                            "montage",
                            "subjects",
                            "recordings",
                            "epochs",
                            "auc_mean",
                            "auc_sd",
                            "chance",
                            "auc_pooled_random_split_optimistic",
                        )
                    ],
                ]
                for row in rows
            ],
        )
    )
    for row in rows:
        if n := row.get("synthetic"):
            out.print(
                f"{row['version']}: {n} of its {row['recordings']} recordings are synthetic; its metrics say nothing about real subjects"
            )
    montages = {row["montage"]: row["channels"] for row in reversed(rows) if row["aliases"] and "montage" in row}
    if len(montages) > 1:
        for name, channels in montages.items():
            out.print(escape(f"montage {name}: {' '.join(channels)}"), soft_wrap=True)
    show_left_out(found["recordings"])
    for problem in found["problems"]:
        err.print(f"[yellow]{escape(problem)}[/yellow]")
    if rows and "auc_by_fold" in rows[0]:
        by_fold = rows[0]["auc_by_fold"]
        out.print(
            escape(
                f"newest, {rows[0]['scheme'].replace('_', ' ')}: "
                + "  ".join(f"{name} {auc:.3f}" for name, auc in by_fold.items() if auc is not None)
            )
        )


def show_personal(target: Target, subject: str, *, as_json: bool = False) -> None:
    """Print a subject's personal models, newest first, with both AUCs on the same flashes."""
    found = list_personal(registry(target), subject)
    if as_json:
        print_json(found)
        return
    rows = found["models"]
    if not rows:
        out.print(
            escape(
                f"{found['subject']} has no personal model. One is made when a recording lands, labelled or of a spelling session, and "
                "a champion has its channels."
            )
        )
        return
    columns = ["version", "alias", "made by", "population", "AUC population", "AUC personal", "flashes"]
    columns += ["labelled", "sessions of use", "montage"]
    fields = ("population", "auc_population", "auc_personal", "n_flashes", "recordings", "sessions", "montage")
    out.print(
        table(
            f"Personal models of {found['subject']} (AUC on flashes that the personal model did not learn from)",
            columns,
            [
                [row["version"], row["aliases"] or row.get("problem"), _made_by(row)]
                + [len(row[name]) if isinstance(row.get(name), list) else row.get(name) for name in fields]
                for row in rows
            ],
        )
    )
    if any(row.get("population_trained_on_subject") for row in rows):
        out.print("The population's model was trained on this subject too: its AUC is higher than for a new subject.")
    out.print(
        escape(f"newest learnt from: {', '.join(rows[0].get('recordings', [])) or 'no labelled recording'}"),
        soft_wrap=True,
    )
    for session in rows[0].get("sessions", []):
        counted = (
            f"{session['n_counted']} of {session['n_symbols']} symbols, mean certainty {session['mean_certainty']:.2f}"
        )
        out.print(escape(f"and from use: {session['recording']}, {counted}"), soft_wrap=True)


def _made_by(row: dict[str, Any]) -> str | None:
    """Say what a version came of, its newest session by name."""
    if row.get("learned_from") == "use" and row["sessions"]:
        return f"learned from use: {row['sessions'][-1]['recording']}"
    return row.get("learned_from")

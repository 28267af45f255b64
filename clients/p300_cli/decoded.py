"""A decoded recording as tables, with its accuracy against repetitions as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from p300.decoding import Share

from p300_cli.plots import Curve, draw_accuracy
from p300_cli.terminal import escape, note, out, print_json, table


def show(document: Mapping[str, Any], confidence: float, plot: Path, *, as_json: bool) -> None:
    """Print a decoded recording, and draw its accuracy where the truth is known."""
    by_n = document["accuracy_by_repetitions"]
    if by_n:
        found = [Share(row["right"], row["symbols"]) for row in by_n]
        title = f"{document['recording']}, model {document['model_version']}"
        draw_accuracy(plot, title, [Curve("symbols right", found)])
    if as_json:
        print_json({**document, "plot": str(plot) if by_n else None})
        return
    names = [
        "",
        "looked at",
        "decoded",
        "confidence",
        "repetitions",
        f"at {confidence:g}",
        "repetitions",
        "revised",
        "confidence",
    ]
    out.print(
        table(
            f"{document['recording']}, model {document['model_version']}{'' if document['adapted'] else ', not adapted'}",
            names,
            [
                [
                    number,
                    trial["attended"],
                    trial["symbol"],
                    trial["confidence"],
                    trial["repetitions"],
                    trial["stopping"]["symbol"],
                    trial["stopping"]["repetitions"],
                    trial["revised"] and trial["revised"]["symbol"],
                    trial["revised"] and trial["revised"]["confidence"],
                ]
                for number, trial in enumerate(document["trials"], start=1)
            ],
        )
    )
    stopping = [trial["stopping"] for trial in document["trials"]]
    mean = sum(one["repetitions"] for one in stopping) / len(stopping)
    spelled, early = ("".join(one["symbol"] for one in ones) for ones in (document["trials"], stopping))
    told = f"spelled {spelled}; stopping at {confidence:g}, {early} with {mean:.1f} repetitions a symbol"
    out.print(escape(told), highlight=False)
    if by_n:
        show_by_repetitions([("right", [Share(row["right"], row["symbols"]) for row in by_n])])
        note("accuracy against repetitions:")
        out.print(str(plot), soft_wrap=True)


def show_by_repetitions(rows: Sequence[tuple[str, Sequence[Share]]]) -> None:
    """Print accuracy against repetitions, a row for each name."""
    longest = max(len(found) for _, found in rows)
    # More columns than a terminal has room for: the first ones, where it happens, and some of the others.
    chosen = [n for n in range(1, longest + 1) if longest <= 16 or n <= 10 or n % 5 == 0 or n == longest]
    out.print(
        table(
            "Symbols right after so many repetitions",
            ["", *map(str, chosen)],
            [
                [name, *[_two(found[n - 1].accuracy) if n <= len(found) else None for n in chosen]]
                for name, found in rows
            ],
        )
    )


def _two(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"

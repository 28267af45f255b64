"""`make bench`: every measured promise in one table, and in `benchmarks/results.json`.

Ratios are against the plain pandas + MNE + scikit-learn pipeline, measured in the same run on the same machine. A promise that was not met
is a line of the table and no failure; a part that could not be measured is one. Each part has a process of its own, so that none inherits
another's environment, memory or threads.
"""

import importlib
import json
import multiprocessing
import os
import platform
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from real_data import data_set
from rich.console import Console
from rich.table import Table
from sizes import SHORT

HERE = Path(__file__).parent
PARTS = {
    "preprocessing": "preprocessing: a few minutes",
    "training": "training: a few minutes",
    "decoding": "decoding symbols of real subjects: a minute",
    "personal": "models of real subjects: some minutes",
    "console_pages": "the console's pages: a minute",
    "serving": "serving: a few minutes, most of them a speller's pace through API Gateway",
}
"""Module of each part, and what is printed before it."""
REAL = ("decoding", "personal")

Measured = tuple[list[dict[str, Any]], dict[str, Any]]


def measure(part: str) -> Measured:
    """Return a part's rows, and the figures behind them where they are kept."""
    module = importlib.import_module(part)
    if part in {"preprocessing", "serving"}:
        figures = module.run()
        return module.rows(figures), figures
    return module.promised(), {}


def measure_all(parts: dict[str, str], console: Console) -> tuple[dict[str, Measured], list[str]]:
    """Measure one part after the other; return what was measured, and the parts that could not be."""
    measured, failed = {}, []
    spawn = multiprocessing.get_context("spawn")
    for part, announcement in parts.items():
        console.print(announcement)
        with ProcessPoolExecutor(1, mp_context=spawn) as process:
            try:
                measured[part] = process.submit(measure, part).result()
            except Exception as error:
                traceback.print_exception(error)
                failed.append(part)
    return measured, failed


def table_of(rows: list[dict[str, Any]]) -> Table:
    """Return the table that is printed."""
    form = "a short run" if SHORT else "this run"
    table = Table(title=f"Measured against the plain pipeline in {form}", title_justify="left")
    for column in ("what", "measured", "asked", ""):
        table.add_column(column, justify="right" if column in {"measured", "asked"} else "left")
    for entry in rows:
        asked, verdict = "", ""
        if (bound := entry["at_least"] if entry["at_most"] is None else entry["at_most"]) is not None:
            asked = f"{'>=' if entry['at_most'] is None else '<='} {bound}"
            verdict = "met" if entry["met"] else "[red]not met[/red]"
        table.add_row(entry["name"], f"{entry['value']:.3f}", asked, verdict)
    return table


def main() -> None:
    """Measure, print, keep."""
    console = Console(width=None if Console().is_terminal else 140)
    parts = dict(PARTS)
    if data_set("bnci_2015_003") is None:
        console.print("P300_DATA is not set: synthetic recordings only, and no decoding of real subjects' symbols")
        for part in REAL:
            del parts[part]
    if SHORT:
        console.print(
            "A short run: every part with little data and few repetitions, which shows that all of them work. Nothing is judged."
        )
    measured, failed = measure_all(parts, console)
    rows = [row for part_rows, _ in measured.values() for row in part_rows]
    console.print(table_of(rows))
    if failed:
        sys.exit(f"{', '.join(failed)} could not be measured, see above; {HERE / 'results.json'} is left as it was")
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "form": "short" if SHORT else "full",
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "rows": rows,
        **{part: figures for part, (_, figures) in measured.items() if figures},
    }
    (HERE / "results.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()

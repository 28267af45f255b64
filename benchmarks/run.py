"""`make bench`: every measured promise in one table, and in `benchmarks/results.json`.

Ratios are against the plain pandas + MNE + scikit-learn pipeline, measured in the same run on the same machine. Nothing here fails: a table
says what was reached.
"""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import console_pages
import decoding
import personal
import preprocessing
import serving
import training
from real_data import data_set
from rich.console import Console
from rich.table import Table
from training import row

HERE = Path(__file__).parent


def preprocessing_rows(results: dict[str, dict[str, float]]) -> list[dict[str, object]]:
    """Return a row for each number that preprocessing promises."""
    rows = []
    for name, measured in results.items():
        if name.startswith("warm"):
            rows.append(row(f"{name}, float64: times faster", measured["float64_ratio"], at_least=8))
            rows.append(row(f"{name}, float64: times less processor time", measured["float64_cpu_ratio"], at_least=8))
            rows.append(row(f"{name}, float32: times faster", measured["float32_ratio"], at_least=11))
            rows.append(row(f"{name}, float32: times less processor time", measured["float32_cpu_ratio"], at_least=11))
    fresh, hour, files = (results[name] for name in ("fresh process, 7 min", "an hour", "feature files, 7 min"))
    rows += [
        row("fresh process, 7 min: times faster", fresh["time_ratio"], at_least=7),
        row("fresh process, 7 min: times less peak memory", fresh["memory_ratio"], at_least=2),
        row("an hour: peak MiB above the interpreter", hour["mib_above_interpreter"], at_most=400),
        row(
            "an hour: processor ms a minute, against a quarter of it",
            hour["cpu_ms_per_minute_of_hour"] / hour["cpu_ms_per_minute_of_quarter"],
            at_most=1.2,
        ),
        row("feature file written: times faster", files["write_ratio"], at_least=10),
        row("feature file read: times faster", files["read_ratio"], at_least=10),
    ]
    return rows


def main() -> None:
    """Measure, print, keep."""
    console = Console(width=None if Console().is_terminal else 140)
    console.print("preprocessing: a few minutes")
    real = data_set(decoding.DATA_SET) is not None
    if not real:
        console.print("P300_DATA is not set: synthetic recordings only, and no decoding of real subjects' symbols")
    results = preprocessing.run()
    rows = preprocessing_rows(results)
    console.print("training: a few minutes")
    rows += training.run()
    if real:
        console.print("decoding symbols of real people: a minute")
        rows += decoding.promised()
        console.print("models of real subjects: some minutes")
        rows += personal.promised()
    console.print("the console's pages at 1,000 executions: a minute")
    rows += console_pages.promised()
    console.print("serving: a few minutes, most of them a speller's pace through API Gateway")
    serving_figures = serving.measure(serving.N_REQUESTS)
    rows += serving.rows(serving_figures)
    table = Table(title="Measured against the plain pipeline in this run", title_justify="left")
    for column in ("what", "measured", "asked", ""):
        table.add_column(column, justify="right" if column in {"measured", "asked"} else "left")
    for entry in rows:
        bound = f">= {entry['at_least']}" if entry["at_least"] is not None else f"<= {entry['at_most']}"
        table.add_row(
            str(entry["name"]), f"{entry['value']:.3f}", bound, "met" if entry["met"] else "[red]not met[/red]"
        )
    console.print(table)
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        **machine,
        "rows": rows,
        "preprocessing": results,
        "serving": serving_figures,
    }
    (HERE / "results.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

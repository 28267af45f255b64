"""Serving against a FastAPI + scikit-learn server of the same model: a request inside the process, a cold start, and through API Gateway.

``python benchmarks/serving.py`` prints the figures as JSON; ``--requests`` says how many go through the API Gateway of a stack of its own.
"""

import argparse
import json
import tempfile
from pathlib import Path

from serving_cold import cold
from serving_gateway import N_REQUESTS, REQUESTS_A_SECOND, own_stack, through_gateway
from serving_in_process import in_process
from serving_sides import BATCH, make_models
from training import row


def run(n_requests: int = N_REQUESTS) -> dict[str, dict[str, float]]:
    """Measure everything; through API Gateway so many requests, none where it is 0."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_models(folder)
        figures = {"in_process": in_process(folder), "cold": cold(folder)}
        if n_requests:
            with own_stack(folder) as api:
                figures["gateway"] = through_gateway(*api, n_requests)
    return figures


def rows(figures: dict[str, dict[str, float]]) -> list[dict[str, object]]:
    """Return a row for each number that serving promises."""
    inside, start = figures["in_process"], figures["cold"]
    found = [
        row("one epoch in the handler, JSON, ms (p50)", inside["one_p50_ms"], at_most=0.3),
        row("one epoch in the handler, a subject's own model, ms (p50)", inside["personal_p50_ms"], at_most=0.4),
        row("one epoch: times faster than FastAPI + scikit-learn", inside["times_faster"], at_least=3),
        row(
            f"batch of {BATCH} in the handler, base64: epochs a second",
            inside["batch_epochs_a_second"],
            at_least=50_000,
        ),
        row("cold process, model on disk, to its first score: times faster", start["score_times_faster"], at_least=8),
        row("cold process, model in S3, to its first answer: times faster", start["function_times_faster"], at_least=8),
    ]
    if gateway := figures.get("gateway"):
        found += [
            row(f"through API Gateway at {REQUESTS_A_SECOND} a second, ms (p95)", gateway["p95_ms"], at_most=40),
            row(f"errors in {gateway['requests']:.0f} requests", gateway["errors"], at_most=0),
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure serving.")
    parser.add_argument("--requests", type=int, default=N_REQUESTS, help="through API Gateway; 0 for none")
    figures = run(parser.parse_args().requests)
    print(json.dumps({"figures": figures, "rows": rows(figures)}, indent=1))


if __name__ == "__main__":
    main()

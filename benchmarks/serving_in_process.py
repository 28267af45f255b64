"""Requests inside a warm process: the function's handler against FastAPI's application."""

import asyncio
import importlib
import io
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving_sides import BATCH, ENVIRONMENT, PLAIN_SERVER, ROOT, VERSION, Context, bodies, event, manifest
from sizes import size

ROUNDS, CALLS = size(20, short=3), 50


def handler_with(folder: Path, kind: str) -> Callable[[str], Any]:
    """Return the function's own handler with a model in memory, as it is after its first request."""
    from p300.decoding import Response
    from p300.scoring import Scorer, read_arrays
    from p300_pipeline.serving import Served

    os.environ |= ENVIRONMENT
    sys.path.insert(0, str(ROOT / "functions" / "inference"))
    import app  # type: ignore[import-not-found]

    arrays = read_arrays(folder / f"{kind}.npz")
    served = Served(
        VERSION,
        Scorer.from_arrays(arrays),
        manifest("ensemble" if kind == "personal" else kind),
        Response.from_arrays(arrays),
    )
    app.service.cache._checked["champion"] = float("inf")  # nobody promotes anything here, and there is no storage

    def handle(body: str) -> Any:
        app.service.cache._last_good["champion"] = served
        answer = app.handler(event(body), Context())
        if answer["statusCode"] != 200:
            raise RuntimeError(answer["body"])

    return handle


def fastapi_with(folder: Path) -> Callable[[str], Any]:
    """Return a call of the plain server's application: what happens between uvicorn's parser and its writer."""
    source = PLAIN_SERVER.format(storage="", source=repr(str(folder / "model.joblib")))
    (folder / "plain_server.py").write_text(source)
    sys.path.insert(0, str(folder))  # FastAPI looks annotations up in the module
    plain = importlib.import_module("plain_server")
    application = plain.app
    loop = asyncio.new_event_loop()
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http", "path": "/predict/",
        "raw_path": b"/predict/", "query_string": b"", "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000), "root_path": "",
    }  # fmt: skip

    async def call(body: bytes) -> None:
        sent: list[dict[str, Any]] = []
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            return next(given)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await application(dict(scope), receive, send)
        if sent[0]["status"] != 200:
            raise RuntimeError(sent)

    return lambda body: loop.run_until_complete(call(body.encode()))


def in_process(folder: Path) -> dict[str, float]:
    """Time requests of both sides in turn, so that another process's load falls on both alike."""
    one, many = bodies()
    handle, personal, plain = handler_with(folder, "ensemble"), handler_with(folder, "personal"), fastapi_with(folder)
    calls: dict[str, tuple[Callable[[str], Any], str]] = {
        "one": (handle, one),
        "personal": (personal, one),
        "plain": (plain, one),
        "batch": (handle, many),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    output, sys.stdout = sys.stdout, io.StringIO()  # metrics go there, as on Lambda
    try:
        for call, body in calls.values():
            for _ in range(CALLS):
                call(body)
        for _ in range(ROUNDS):
            for name, (call, body) in calls.items():
                for _ in range(CALLS):
                    started, cpu = time.perf_counter(), time.process_time()
                    call(body)
                    times[name].append((time.perf_counter() - started, time.process_time() - cpu))
            sys.stdout.seek(0)
            sys.stdout.truncate()
    finally:
        sys.stdout = output
    wall = {name: statistics.median(t for t, _ in values) for name, values in times.items()}
    processor = {name: statistics.median(t for _, t in values) for name, values in times.items()}
    return {
        "one_p50_ms": 1e3 * wall["one"],
        "one_cpu_ms": 1e3 * processor["one"],
        "personal_p50_ms": 1e3 * wall["personal"],
        "personal_cpu_ms": 1e3 * processor["personal"],
        "plain_p50_ms": 1e3 * wall["plain"],
        "times_faster": wall["plain"] / wall["one"],
        "times_less_cpu": processor["plain"] / processor["one"],
        "batch_epochs_a_second": BATCH / wall["batch"],
        "batch_epochs_a_cpu_second": BATCH / processor["batch"],
    }

"""Try it: a recording's flashes through the API, the symbols' probabilities growing flash by flash."""

import json
from collections.abc import Iterator
from typing import Any

from p300.errors import P300Error
from p300_cli.predicting import recordings
from p300_cli.sessions import Screen, Session
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from p300_console import replay
from p300_console.replay import LAYOUTS, N_COLUMNS, WOULD_STOP
from p300_console.stack import outage
from p300_console.web import Console, console, page

PACES = {"30": "fast", "120": "as recorded, nearly", "400": "slow"}


def choose(request: Request) -> Response:
    """Ask for recording, symbol and model; then the grid that `stream` fills."""
    behind = console(request)
    query = request.query_params
    chosen = {name: query.get(name, "") for name in ("recording", "layout", "trial", "alias", "pace")}
    chosen["pace"] = chosen["pace"] if chosen["pace"] in PACES else "120"
    chosen["alias"] = chosen["alias"] or "champion"
    behind.stack.output("FeaturesBucketName")
    problem, session, shown = "", None, None
    attended: list[str | None] = []
    if chosen["recording"]:
        try:
            session, shown, chosen["layout"] = _session(behind, chosen["recording"], chosen["layout"], chosen["alias"])
            attended = replay.attended(session, shown)
        except P300Error as error:
            if outage(error, behind.stack):
                raise
            problem = error.message
    trial = _number(chosen["trial"], len(attended))
    symbols = shown.layout.symbols if shown else ()
    flashes = session.trials[trial].flashes if session else slice(0, 0)
    return page(
        request,
        "try",
        chosen=chosen,
        names=recordings(behind.stack.target),
        layouts=LAYOUTS,
        paces=PACES,
        problem=problem,
        attended=attended,
        trial=trial,
        rows=[symbols[at : at + N_COLUMNS] for at in range(0, len(symbols), N_COLUMNS)],
        n_flashes=flashes.stop - flashes.start,
        would_stop=WOULD_STOP,
        aliases=["champion", "challenger", *behind.stack.registry.versions()[::-1]],
    )


def _session(behind: Console, name: str, layout: str, alias: str) -> tuple[Session, Screen, str]:
    version = behind.replays.version(alias)
    layout = replay.likely_layout(layout, behind.stack.registry.manifest(version)["channels"])
    return behind.replays.session(name, version, layout), replay.screen(layout), layout


def _number(text: str, n: int) -> int:
    return min(int(text), max(0, n - 1)) if text.isdecimal() else 0


def stream(request: Request) -> Response:
    """Send each flash as an event, until the symbol's last."""
    behind = console(request)
    query = request.query_params
    pace, start = query.get("pace", "120"), query.get("start", "0")

    def steps() -> Iterator[tuple[str, dict[str, Any]]]:
        alias = query.get("alias", "champion")
        session, shown, _ = _session(behind, query.get("recording", ""), query.get("layout", ""), alias)
        for step in replay.replay(
            behind.stack.api,
            session,
            _number(query.get("trial", "0"), len(session.trials)),
            shown,
            alias,
            start=int(start) if start.isdecimal() else 0,
            pause_s=int(pace) / 1000 if pace in PACES else 0.12,
        ):
            yield "flash", step

    return events(behind, steps())


def events(behind: Console, steps: Iterator[tuple[str, dict[str, Any]]]) -> Response:
    """Send server-sent events: those of `steps`, then ``end``; or ``trouble`` with a message where they break off."""

    def sent() -> Iterator[str]:
        try:
            for name, data in steps:
                if behind.ending.is_set():
                    return
                yield _event(name, data)
            yield _event("end", {})
        except Exception as error:  # the page is there already: it has to be told in the stream
            told = outage(error, behind.stack)
            if told:
                behind.stack.forget()
            yield _event(
                "trouble", {"message": told or (error.message if isinstance(error, P300Error) else str(error))}
            )

    return StreamingResponse(sent(), media_type="text/event-stream")


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"

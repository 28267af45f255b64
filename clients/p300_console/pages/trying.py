"""Try it: replay a recording's flashes through the API, and watch the symbols' probabilities change flash by flash."""

import json
from collections.abc import Iterator
from typing import Any

from p300.errors import P300Error
from p300_client.api import recordings
from p300_client.coverage import champion_of
from p300_client.sessions import Screen, Session
from p300_pipeline.montage_groups import GROUP_ALIAS
from p300_pipeline.registry import ALIASES, VERSION
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from p300_console import replay
from p300_console.query import Query
from p300_console.replay import LAYOUTS, N_COLUMNS, WOULD_STOP
from p300_console.stack import outage
from p300_console.web import Console, console, page

PACES = {"30": "fast", "120": "about as recorded", "400": "slow"}
USUAL_PACE = "120"
CHOICES = ("recording", "layout", "trial", "alias", "pace")
MAX_TRIAL = 99_999


def choose(request: Request) -> Response:
    """Show the choice of recording, symbol and model, and the grid that `stream` fills."""
    shared, query = console(request), Query(request, *CHOICES)
    chosen = _chosen(query)
    number = query.number("trial", 0, MAX_TRIAL, 0)
    shared.stack.output("FeaturesBucketName")
    problem, session, shown = "", None, None
    attended: list[str | None] = []
    if chosen["recording"]:
        try:
            chosen["alias"] = _alias(shared, chosen)
            session, shown, chosen["layout"] = _session(shared, chosen["recording"], chosen["layout"], chosen["alias"])
            attended = replay.attended(session, shown)
        except P300Error as error:
            if outage(error, shared.stack):
                raise
            problem = error.message
    trial = min(number, max(0, len(attended) - 1))
    symbols = shown.layout.symbols if shown else ()
    flashes = session.trials[trial].flashes if session else slice(0, 0)
    return page(
        request,
        "try",
        chosen=chosen,
        names=recordings(shared.stack.target),
        layouts=LAYOUTS,
        paces=PACES,
        problem=problem,
        attended=attended,
        trial=trial,
        rows=[symbols[at : at + N_COLUMNS] for at in range(0, len(symbols), N_COLUMNS)],
        n_flashes=flashes.stop - flashes.start,
        would_stop=WOULD_STOP,
        aliases=[*shared.stack.registry.aliases()[0], *shared.stack.registry.versions()[::-1]],
    )


def _alias(shared: Console, chosen: dict[str, str]) -> str:
    """Return the alias that was chosen, or that of the champion which has the recording's channels."""
    stack = shared.stack
    return chosen["alias"] or champion_of(
        stack.registry, stack.store, stack.output("FeaturesBucketName"), chosen["recording"]
    )


def _session(shared: Console, name: str, layout: str, alias: str) -> tuple[Session, Screen, str]:
    version = shared.replays.version(alias)
    layout = replay.likely_layout(layout, shared.stack.registry.manifest(version)["channels"])
    return shared.replays.session(name, version, layout), replay.screen(layout), layout


def _chosen(query: Query) -> dict[str, str]:
    alias = query.text("alias")
    if alias and alias not in ALIASES and not VERSION.fullmatch(alias) and not GROUP_ALIAS.fullmatch(alias):
        raise HTTPException(
            400, f"alias is {alias[:60]!r}; expected {', '.join(ALIASES)}, champion_<montage> or a version."
        )
    return {
        "recording": query.text("recording"),
        "layout": query.choice("layout", LAYOUTS),
        "alias": alias,
        "pace": query.choice("pace", PACES, USUAL_PACE),
    }


def stream(request: Request) -> Response:
    """Send each flash of a symbol as an event."""
    shared, query = console(request), Query(request, *CHOICES, "start")
    chosen = _chosen(query)
    trial, start = query.number("trial", 0, MAX_TRIAL, 0), query.number("start", 0, MAX_TRIAL, 0)

    def steps() -> Iterator[tuple[str, dict[str, Any]]]:
        chosen["alias"] = _alias(shared, chosen)
        session, shown, _ = _session(shared, chosen["recording"], chosen["layout"], chosen["alias"])
        for step in replay.replay(
            shared.stack.api,
            session,
            min(trial, len(session.trials) - 1),
            shown,
            chosen["alias"],
            start=start,
            pause_s=int(chosen["pace"]) / 1000,
        ):
            yield "flash", step

    return events(shared, steps())


def events(shared: Console, steps: Iterator[tuple[str, dict[str, Any]]]) -> Response:
    """Send server-sent events: those of `steps`, then ``end``; or ``trouble`` with a message if they fail."""

    def sent() -> Iterator[str]:
        try:
            for name, data in steps:
                if shared.ending.is_set():
                    return
                yield _event(name, data)
            yield _event("end", {})
        except Exception as error:  # the response has already begun: the error can only go into the stream
            message = outage(error, shared.stack)
            if message:
                shared.stack.forget()
            yield _event(
                "trouble", {"message": message or (error.message if isinstance(error, P300Error) else str(error))}
            )

    return StreamingResponse(sent(), media_type="text/event-stream")


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"

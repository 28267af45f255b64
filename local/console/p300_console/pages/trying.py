"""Try it: a recording's flashes through the API, the symbols' probabilities growing flash by flash."""

import json
from collections.abc import Iterator
from typing import Any

from p300.errors import P300Error
from p300_cli.predicting import recordings
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from p300_console.replay import LAYOUTS, WOULD_STOP, layout_of, likely_layout, replay, symbols
from p300_console.stack import outage
from p300_console.web import console, page

PACES = {"30": "fast", "120": "as recorded, nearly", "400": "slow"}


def choose(request: Request) -> Response:
    """Ask for recording, symbol and model; then the grid that `stream` fills."""
    behind = console(request)
    query = request.query_params
    chosen = {name: query.get(name, "") for name in ("recording", "layout", "trial", "alias", "pace")}
    chosen["pace"] = chosen["pace"] if chosen["pace"] in PACES else "120"
    chosen["alias"] = chosen["alias"] or "champion"
    behind.stack.output("FeaturesBucketName")
    names = recordings(behind.stack.target)
    problem, session, attended = "", None, []
    layout, columns = None, 6
    if chosen["recording"]:
        try:
            session = behind.replays.session(chosen["recording"])
            chosen["layout"] = likely_layout(chosen["layout"], session)
            layout, _, columns = layout_of(chosen["layout"])
            attended = symbols(session, layout)
        except P300Error as error:
            problem = error.message
    trial = _trial(chosen["trial"], len(attended))
    return page(
        request,
        "try",
        chosen=chosen,
        names=names,
        layouts=LAYOUTS,
        paces=PACES,
        problem=problem,
        attended=attended,
        trial=trial,
        rows=[layout.symbols[at : at + columns] for at in range(0, len(layout.symbols), columns)] if layout else [],
        n_flashes=session.trials[trial].stop - session.trials[trial].start if session and not problem else 0,
        would_stop=WOULD_STOP,
        aliases=[*("champion", "challenger"), *behind.stack.registry.versions()[::-1]],
    )


def _trial(text: str, n: int) -> int:
    return min(int(text), max(0, n - 1)) if text.isdecimal() else 0


def stream(request: Request) -> Response:
    """Send each flash as an event, until the symbol's last."""
    behind = console(request)
    query = request.query_params
    pace, start = query.get("pace", "120"), query.get("start", "0")

    def events() -> Iterator[str]:
        try:
            session = behind.replays.session(query.get("recording", ""))
            layout = likely_layout(query.get("layout", ""), session)
            steps = replay(
                behind.stack.api,
                session,
                _trial(query.get("trial", "0"), len(session.trials)),
                layout,
                query.get("alias", "champion"),
                start=int(start) if start.isdecimal() else 0,
                pause_s=int(pace) / 1000 if pace in PACES else 0.12,
            )
            for step in steps:
                yield _event("flash", step)
            yield _event("end", {})
        except Exception as error:
            told = outage(error, behind.stack)
            if told:
                behind.stack.forget()
            yield _event(
                "trouble", {"message": told or (error.message if isinstance(error, P300Error) else str(error))}
            )

    return StreamingResponse(events(), media_type="text/event-stream")


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"

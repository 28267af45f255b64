"""Recordings: the list with the stage of each, one of them, its picture and its report."""

from p300_pipeline.storage import NotFoundError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from p300_console.recordings import FEATURES, MODEL, STAGES
from p300_console.security import REPORT_POLICY
from p300_console.web import console, from_posix, page


def listing(request: Request) -> Response:
    """Show recordings by name."""
    query = request.query_params
    chosen = {name: query.get(name, "") for name in ("stage", "subject")}
    number = query.get("page", "1")
    selection = console(request).recordings.select(**chosen, page=int(number) if number.isdecimal() else 1)
    return page(
        request, "recordings", live=True, selection=selection, chosen=chosen, stages=STAGES, from_posix=from_posix
    )


def one(request: Request) -> Response:
    """Show one recording, or one object in quarantine."""
    behind = console(request)
    name, key = request.query_params.get("name", ""), request.query_params.get("key", "")
    found = behind.recordings.named(name, key)
    if not found:
        raise HTTPException(404, f"There is no recording {name[:200]!r}.")
    best = max(found, key=lambda row: list(STAGES).index(row.stage))
    recording = found[0] if key else best
    facts = behind.recordings.facts(recording)
    return page(
        request,
        "recording",
        live=recording.stage not in {FEATURES, MODEL},
        recording=recording,
        others=[other for other in found if other is not recording],
        facts=facts,
        stages=STAGES,
        executions=behind.executions.of_recording(recording.name),
        from_posix=from_posix,
    )


def picture(request: Request) -> Response:
    """Return a recording's erp.png."""
    return Response(_object(request, "erp.png"), media_type="image/png")


def report(request: Request) -> Response:
    """Return a recording's report.html, which may do nothing but be looked at."""
    return Response(
        _object(request, "report.html"),
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": REPORT_POLICY},
    )


def _object(request: Request, file: str) -> bytes:
    name = request.query_params.get("name", "")
    try:
        return console(request).recordings.object(name, file)
    except NotFoundError as error:
        raise HTTPException(404, f"There is no {file} of {name[:200]!r}.") from error

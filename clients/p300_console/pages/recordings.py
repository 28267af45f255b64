"""Recordings: the list with the stage of each, one recording, its plot and its report."""

from p300_pipeline.storage import NotFoundError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from p300_console.query import Query
from p300_console.recordings import FEATURES, MODEL, STAGES
from p300_console.security import REPORT_POLICY
from p300_console.web import MAX_PAGE, console, from_posix, page


def listing(request: Request) -> Response:
    """Show recordings by name."""
    query = Query(request, "stage", "subject", "page")
    chosen = {"stage": query.choice("stage", STAGES), "subject": query.text("subject")}
    selection = console(request).recordings.select(**chosen, page=query.number("page", 1, MAX_PAGE, 1))
    return page(
        request, "recordings", live=True, selection=selection, chosen=chosen, stages=STAGES, from_posix=from_posix
    )


def one(request: Request) -> Response:
    """Show one recording, or one object in quarantine."""
    shared, query = console(request), Query(request, "name", "key")
    name, key = query.text("name"), query.text("key")
    found = shared.recordings.named(name, key)
    if not found:
        raise HTTPException(404, f"There is no recording {name[:200]!r}.")
    best = max(found, key=lambda row: list(STAGES).index(row.stage))
    recording = found[0] if key else best
    facts = shared.recordings.facts(recording)
    return page(
        request,
        "recording",
        live=recording.stage not in {FEATURES, MODEL},
        recording=recording,
        others=[other for other in found if other is not recording],
        facts=facts,
        stages=STAGES,
        executions=shared.executions.of_recording(recording.name),
        from_posix=from_posix,
    )


def picture(request: Request) -> Response:
    """Return a recording's erp.png."""
    return Response(_object(request, "erp.png"), media_type="image/png")


def report(request: Request) -> Response:
    """Return a recording's report.html, with a policy that lets it do nothing but be viewed."""
    return Response(
        _object(request, "report.html"),
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": REPORT_POLICY},
    )


def _object(request: Request, file: str) -> bytes:
    name = Query(request, "name").text("name")
    try:
        return console(request).recordings.object(name, file)
    except NotFoundError as error:
        raise HTTPException(404, f"There is no {file} of {name[:200]!r}.") from error

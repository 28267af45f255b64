"""The web application: routes and error pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from botocore.exceptions import BotoCoreError, ClientError
from p300.errors import P300Error
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from p300_console.executions import Executions
from p300_console.pages import executions, models, recordings, trying
from p300_console.recordings import Recordings
from p300_console.replay import Replays
from p300_console.security import FIRST_PAGE, Guard, Tokens
from p300_console.stack import Stack, outage
from p300_console.web import HERE, Console, console, error_page, page

ROUTES = [
    Route("/", lambda _: RedirectResponse(FIRST_PAGE)),
    Route("/executions", executions.listing),
    Route("/execution", executions.one),
    Route("/execution/logs", executions.log_lines),
    Route("/recordings", recordings.listing),
    Route("/recording", recordings.one),
    Route("/recording/erp.png", recordings.picture),
    Route("/recording/report.html", recordings.report),
    Route("/models", models.listing),
    Route("/model", models.one),
    Route("/model/picture", models.picture),
    Route("/model/symbols", models.symbols),
    Route("/models/promote", models.promote, methods=["GET", "POST"]),
    Route("/models/rollback", models.roll_back, methods=["GET", "POST"]),
    Route("/models/train", models.train, methods=["GET", "POST"]),
    Route("/try", trying.choose),
    Route("/try/stream", trying.stream),
    Mount("/static", StaticFiles(directory=HERE / "static")),
]


_TITLES = {400: "Invalid address", 404: "Not found"}


def make_app(stack: Stack, port: int, tokens: Tokens) -> Starlette:
    """Return the application.

    Parameters
    ----------
    stack : Stack
        The stack to show.
    port : int
        The port on which it will listen: requests for any other host are refused.
    tokens : Tokens
        Which browsers have access.
    """
    shared = Console(stack, Executions(stack), Recordings(stack), Replays(stack), tokens)

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        shared.executions.start()
        yield
        shared.executions.stop()

    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Guard, port=port, tokens=tokens)],
        exception_handlers={
            HTTPException: _not_here,
            P300Error: _cannot,
            BotoCoreError: _refused,
            ClientError: _refused,
            Exception: _broken,
        },
        lifespan=life,
    )
    app.state.console = shared
    return app


def _unavailable(request: Request, error: Exception) -> Response | None:
    stack = console(request).stack
    message = outage(error, stack)
    if message is None:
        return None
    stack.forget()
    return page(request, "unavailable", status=503, live=True, banner=message)


def _not_here(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else ""
    return error_page(request, status, _TITLES.get(status, "Request failed"), detail)


def _cannot(request: Request, error: Exception) -> Response:
    message = error.message if isinstance(error, P300Error) else str(error)
    return _unavailable(request, error) or error_page(request, 409, "Request failed", message)


def _refused(request: Request, error: Exception) -> Response:
    return _unavailable(request, error) or error_page(request, 502, "The stack refused the request", str(error))


def _broken(request: Request, error: Exception) -> Response:
    return error_page(
        request, 500, "The console failed", f"{type(error).__name__}: {error}. Its terminal shows the traceback."
    )

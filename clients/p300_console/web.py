"""What all pages share: templates, number and time formats, the response with its token, and the console's state."""

import json
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from p300.chance import in_words
from p300.text import printable
from p300_client.outcomes import NOTABLE
from p300_pipeline.executions import reason
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from p300_console.executions import Executions
from p300_console.recordings import Recordings
from p300_console.replay import Replays
from p300_console.security import Tokens
from p300_console.stack import Stack

if TYPE_CHECKING:
    from p300_console.pages.executions import Details

NOTHING = "\N{EN DASH}"
HERE = Path(__file__).parent
LIVE_MS = 2000
MAX_PAGE = 1_000_000
STATUS_WORDS = {
    "SUCCEEDED": "Succeeded", "RUNNING": "Running", "FAILED": "Failed", "CAUGHT": "Caught error", "TIMED_OUT": "Timed out",
    "ABORTED": "Aborted", "PENDING_REDRIVE": "Pending redrive", "": "Not entered",
    **{name.upper().replace(" ", "_"): name.capitalize() for name in sorted(NOTABLE)},
}  # fmt: skip
STATUS_MARKS = {
    "SUCCEEDED": "✓", "RUNNING": "…", "FAILED": "✕", "CAUGHT": "!", "TIMED_OUT": "⏱", "ABORTED": "■", "PENDING_REDRIVE": "↻",
    **dict.fromkeys((name.upper().replace(" ", "_") for name in NOTABLE), "!"),
}  # fmt: skip


@dataclass
class Console:
    """The state that all pages share."""

    stack: Stack
    executions: Executions
    recordings: Recordings
    replays: Replays
    tokens: Tokens
    ending: threading.Event = field(default_factory=threading.Event)
    """Set when the console is about to stop: event streams end first."""
    details: "dict[str, Details]" = field(default_factory=dict)
    """Executions that have ended, as their pages show them."""


def console(request: Request) -> Console:
    """Return the state that all pages share."""
    found: Console = request.app.state.console
    return found


# ---- formats
def duration(seconds: float | None) -> str:
    """Format a duration: 420 ms, 12.3 s, 4 min 05 s, 2 h 03 min."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def clock(at: datetime | None) -> str:
    """Format a time in this machine's time zone; with the date if that is not today."""
    if at is None:
        return NOTHING
    local = at.astimezone()
    now = datetime.now(UTC).astimezone()
    return f"{local:%H:%M:%S}" if local.date() == now.date() else f"{local:%Y-%m-%d %H:%M}"


def moment(at: datetime) -> str:
    """Format a time to the millisecond."""
    return f"{at.astimezone():%H:%M:%S.%f}"[:-3]


def from_iso(text: str) -> datetime | None:
    """Return the time in ISO format in a text; None if it is not one."""
    try:
        at = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def from_posix(seconds: float) -> datetime:
    """Return a POSIX time as a datetime."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def size(n: float) -> str:
    """Format a number of bytes."""
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} GB"


def decimal(value: Any, digits: int = 3) -> str:
    """Format a number; a dash if there is none."""
    return f"{value:.{digits}f}" if isinstance(value, int | float) and not isinstance(value, bool) else NOTHING


def pretty(text: str) -> str:
    """Format JSON with line breaks; leave other text as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return text or ""


def link(path: str, **query: Any) -> str:
    """Return an address with those parts of the query that are not empty."""
    said = {name: value for name, value in query.items() if value not in {None, ""}}
    return f"{path}?{urlencode(said)}" if said else path


def _shown(value: Any) -> Any:
    """Escape characters in names that could reorder the page or imitate another name; HTML is escaped after this."""
    return printable(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,  # of every name: they come from buckets
        finalize=_shown,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": duration,
        "clock": clock,
        "moment": moment,
        "size": size,
        "decimal": decimal,
        "chance": in_words,
        "pretty": pretty,
        "reason": reason,
    }
    environment.globals |= {"link": link, "status_words": STATUS_WORDS, "status_marks": STATUS_MARKS}
    return environment


TEMPLATES = _environment()


def page(request: Request, template: str, *, status: int = 200, live: bool = False, **context: Any) -> Response:
    """Return a page.

    Parameters
    ----------
    request : Request
        The request.
    template : str
        Name of the template without its extension.
    status : int
        HTTP status.
    live : bool
        Whether the page refreshes itself every two seconds.
    **context
        Variables of the template.
    """
    shared = console(request)
    html = TEMPLATES.get_template(f"{template}.html.jinja").render(
        path=request.url.path,
        where=str(shared.stack),
        live_ms=LIVE_MS if live else None,
        token=shared.tokens.token(shared.tokens.session(request) or ""),
        **{"banner": "", **context},
    )
    return HTMLResponse(html.encode(errors="backslashreplace"), status)  # JSON may hold half a surrogate pair


def error_page(request: Request, status: int, title: str, message: str) -> Response:
    """Return a page that says what went wrong."""
    return page(request, "error", status=status, title=title, message=message)

"""What all pages share: templates, how figures are written, the answer with its token, and the state behind them."""

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
from p300_pipeline.executions import reason
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from p300_console.executions import Executions
from p300_console.recordings import Recordings
from p300_console.replay import Replays
from p300_console.security import Tokens
from p300_console.stack import Stack

if TYPE_CHECKING:
    from p300_console.pages.executions import Seen

NOTHING = "\N{EN DASH}"
HERE = Path(__file__).parent
LIVE_MS = 2000
MAX_PAGE = 1_000_000
STATUS_WORDS = {
    "SUCCEEDED": "Succeeded", "RUNNING": "Running", "FAILED": "Failed", "CAUGHT": "Caught error", "TIMED_OUT": "Timed out",
    "ABORTED": "Aborted", "PENDING_REDRIVE": "Pending redrive", "": "Not entered",
}  # fmt: skip
STATUS_MARKS = {
    "SUCCEEDED": "✓", "RUNNING": "…", "FAILED": "✕", "CAUGHT": "!", "TIMED_OUT": "⏱", "ABORTED": "■", "PENDING_REDRIVE": "↻",
}  # fmt: skip


@dataclass
class Console:
    """What stands behind the pages."""

    stack: Stack
    executions: Executions
    recordings: Recordings
    replays: Replays
    tokens: Tokens
    ending: threading.Event = field(default_factory=threading.Event)
    """Whether the console is to end: streams of events do so first."""
    seen: "dict[str, Seen]" = field(default_factory=dict)
    """Executions that ended, as their pages show them."""


def console(request: Request) -> Console:
    """Return what stands behind the pages."""
    found: Console = request.app.state.console
    return found


# ---- how things are written
def duration(seconds: float | None) -> str:
    """Write a duration: 0.42 s, 12.3 s, 4 min 05 s, 2 h 03 min."""
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
    """Write a time as the clock on this machine's wall shows it; the date too where it is not today."""
    if at is None:
        return NOTHING
    local = at.astimezone()
    now = datetime.now(UTC).astimezone()
    return f"{local:%H:%M:%S}" if local.date() == now.date() else f"{local:%Y-%m-%d %H:%M}"


def moment(at: datetime) -> str:
    """Write a time to the millisecond."""
    return f"{at.astimezone():%H:%M:%S.%f}"[:-3]


def from_iso(text: str) -> datetime | None:
    """Return the time that a text states; None where it states none."""
    try:
        at = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def from_posix(seconds: float) -> datetime:
    """Return a POSIX time as a datetime."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def size(n: float) -> str:
    """Write a number of bytes."""
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} GB"


def figure(value: Any, digits: int = 3) -> str:
    """Write a figure; a dash where there is none."""
    return f"{value:.{digits}f}" if isinstance(value, int | float) and not isinstance(value, bool) else NOTHING


def pretty(text: str) -> str:
    """Write JSON with line breaks; other text as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return text or ""


def link(path: str, **query: Any) -> str:
    """Return an address with those parts of the query that say something."""
    said = {name: value for name, value in query.items() if value not in {None, ""}}
    return f"{path}?{urlencode(said)}" if said else path


def _shown(value: Any) -> Any:
    """Escape what a name may hold to reorder a page or to look like another; HTML is escaped after this."""
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
        "figure": figure,
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
        What was asked.
    template : str
        Name of the template without its ending.
    status : int
        HTTP status.
    live : bool
        Whether it is asked for again every two seconds.
    **context
        For the template.
    """
    behind = console(request)
    html = TEMPLATES.get_template(f"{template}.html.jinja").render(
        path=request.url.path,
        where=str(behind.stack),
        live_ms=LIVE_MS if live else None,
        token=behind.tokens.token(behind.tokens.session(request) or ""),
        **{"banner": "", **context},
    )
    return HTMLResponse(html.encode(errors="backslashreplace"), status)  # JSON may hold half a surrogate pair


def trouble(request: Request, status: int, title: str, message: str) -> Response:
    """Return a page that says what is wrong."""
    return page(request, "trouble", status=status, title=title, message=message)

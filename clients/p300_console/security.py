"""Keep other pages and sites away from the console: host and origin checks, tokens, a content security policy."""

import hashlib
import hmac
import secrets
from collections.abc import Callable

from p300.reporting.assets import POLICY as REPORT_SOURCES
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
# A report comes from a bucket: it may show its own images, and run the one script that reports have; no other, and with no origin.
REPORT_POLICY = f"sandbox allow-scripts; {REPORT_SOURCES}; frame-ancestors 'none'; base-uri 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


MAX_FORM_BYTES = 64 << 10
SIGN_IN = "/"
"""Where the one-time token goes, and the first page after it."""
FIRST_PAGE = "/executions"


class Tokens:
    """Which browsers have access, and the secrets that only the console's own pages know, for as long as the console runs.

    The address that the console prints holds a token that lets one browser in, once. From then on that browser has a cookie, and the
    console has a new token for another browser.

    Parameters
    ----------
    port : int
        Port of the console; part of the cookie's name, because cookies do not distinguish ports.
    on_entry : callable
        Called with the next one-time token whenever one has been used.
    """

    def __init__(self, port: int, on_entry: Callable[[str], None] = lambda token: None) -> None:
        self._secret = secrets.token_bytes(32)
        self._sessions: set[str] = set()
        self._on_entry = on_entry
        self.cookie = f"p300_console_{port}"
        self.one_time = secrets.token_urlsafe(32)

    def enter(self, token: str) -> str | None:
        """Return a new session for the one-time token, which is then used up; None for any other token."""
        if not hmac.compare_digest(token.encode(), self.one_time.encode()):
            return None
        session, self.one_time = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self._sessions.add(session)
        self._on_entry(self.one_time)
        return session

    def session(self, request: HTTPConnection) -> str | None:
        """Return the session in the browser's cookie, if this console issued it."""
        found = request.cookies.get(self.cookie)
        return found if found in self._sessions else None

    def token(self, session: str) -> str:
        """Return the token that this session's forms carry."""
        return hmac.new(self._secret, session.encode(), hashlib.sha256).hexdigest()

    def right(self, session: str | None, token: str) -> bool:
        """Return whether a form came from a page that this console sent to this browser."""
        return bool(session) and hmac.compare_digest(self.token(session or "").encode(), token.encode())


class Guard:
    """Middleware that admits only requests from browsers with access, from the console's own pages, and to its own address.

    Parameters
    ----------
    app : ASGI application
    port : int
        The port on which it listens.
    tokens : Tokens
        Which browsers have access.
    """

    def __init__(self, app: ASGIApp, port: int, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        if port == 80:
            self._hosts |= {"127.0.0.1", "localhost", "[::1]"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no WebSockets here
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answered.setdefault(name, value)
            await send(message)

        answer = self._answer(HTTPConnection(scope), scope["method"]) or self._app
        await answer(scope, receive, send_with_headers)

    def _answer(self, request: HTTPConnection, method: str) -> Response | None:
        """Return the guard's own answer; None if the request may go on to the pages."""
        if problem := self._problem(method, request.headers):
            status, text = problem
            return PlainTextResponse(text + "\n", status)
        if request.url.path == SIGN_IN and "token" in request.query_params:
            return self._sign_in(request, method)
        if self._tokens.session(request) is None:
            return _closed()
        return None

    def _sign_in(self, request: HTTPConnection, method: str) -> Response:
        session = self._tokens.enter(request.query_params["token"]) if method == "GET" else None
        if session is None:
            return _closed() if self._tokens.session(request) is None else RedirectResponse(FIRST_PAGE, 303)
        # Not a redirect: if another page had linked here, the browser would not send a strict cookie along with the redirect.
        answer = HTMLResponse(
            _page("Opening the console", "", head=f'<meta http-equiv="refresh" content="0;url={FIRST_PAGE}">')
        )
        answer.set_cookie(self._tokens.cookie, session, httponly=True, samesite="strict", path="/")
        answer.headers["Referrer-Policy"] = "no-referrer"
        return answer

    def _problem(self, method: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if host not in self._hosts:
            # By pointing a name of its own at this machine, a foreign page could read what is shown here (DNS rebinding).
            return 421, f"The console answers only to {' and '.join(sorted(self._hosts))}, not to {host[:100]!r}."
        if len(headers.getlist("host")) > 1:
            return 400, "The request has several Host headers; expected one."
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if method not in {"GET", "HEAD"}:
            return self._problem_of_form(host, site, origin, headers.get("content-length", ""))
        if site in {"cross-site", "same-site"} and headers.get("sec-fetch-mode") != "navigate":
            return 403, "Other pages may link to the console, but not read from it."
        return None

    def _problem_of_form(self, host: str, site: str | None, origin: str | None, length: str) -> tuple[int, str] | None:
        if origin is None and site is None:
            return 403, "A request that changes something must say where it comes from (Origin)."
        if (origin is not None and origin != f"http://{host}") or site not in {None, "same-origin"}:
            return 403, "Only the console's own pages may send this request."
        if not (length.isascii() and length.isdecimal() and len(length) < 9 and int(length) <= MAX_FORM_BYTES):
            return 413, f"A form must state its length (Content-Length) and have at most {MAX_FORM_BYTES} bytes."
        return None


def _closed() -> Response:
    text = (
        "<p>Open it with the address that <code>p300 console</code> prints in its terminal. Each address works once, for one browser; "
        "after that the terminal shows a new one.</p>"
        "<p>Did you follow a link, in a browser that has already opened the console? "
        f'<a href="{FIRST_PAGE}">Continue to the console</a>.</p>'
    )
    return HTMLResponse(_page("This browser has not opened the console", text), 403)


def _page(title: str, content: str, head: str = "") -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{head}<title>{title}</title></head>'
        f"<body><h1>{title}</h1>{content}</body></html>"
    )

"""What keeps other pages and other sites away from the console: host and origin checks, tokens, a content security policy."""

import hashlib
import hmac
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
# A report comes from a bucket: it may show its own pictures and styles, and do nothing.
REPORT_POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
)
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


class Guard:
    """Middleware: lets through what the console's own pages send, and visits by its own address.

    Parameters
    ----------
    app : ASGI application
    port : int
        The one it listens on.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        if port == 80:
            self._hosts |= {"127.0.0.1", "localhost", "[::1]"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answered.setdefault(name, value)
            await send(message)

        if problem := self._problem(scope["method"], headers):
            status, text = problem
            await PlainTextResponse(text + "\n", status)(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _problem(self, method: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if host not in self._hosts:
            # A name that somebody points at this machine is how a page elsewhere would read what is shown here (DNS rebinding).
            return 421, f"The console answers to {' and '.join(sorted(self._hosts))} only, not to {host[:100]!r}."
        if len(headers.getlist("host")) > 1:
            return 400, "One Host header, please."
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if method not in {"GET", "HEAD"}:
            if origin is None and site is None:
                return 403, "A request that changes something has to say where it comes from (Origin)."
            if (origin is not None and origin != f"http://{host}") or site not in {None, "same-origin"}:
                return 403, "Only the console's own pages may ask for this."
        elif site in {"cross-site", "same-site"} and headers.get("sec-fetch-mode") != "navigate":
            return 403, "Other pages may link to the console, not read from it."
        return None


class Tokens:
    """Tokens that only the console's own pages know: one for each browser, as long as the console runs.

    Parameters
    ----------
    port : int
        Cookies do not tell ports apart; their names have to.
    """

    def __init__(self, port: int) -> None:
        self._secret = secrets.token_bytes(32)
        self.cookie = f"p300_console_{port}"

    def session(self, request: Request) -> str | None:
        """Return the browser's session, as its cookie tells."""
        return request.cookies.get(self.cookie)

    def token(self, session: str) -> str:
        """Return the token that this session's forms carry."""
        return hmac.new(self._secret, session.encode(), hashlib.sha256).hexdigest()

    def right(self, session: str | None, token: str) -> bool:
        """Whether a form came from a page that this console gave to this browser."""
        return bool(session) and hmac.compare_digest(self.token(session or "").encode(), token.encode())


def new_session() -> str:
    """Return a session that nobody can guess."""
    return secrets.token_urlsafe(24)

"""Run the console on this machine."""

import socket
import sys
import tempfile
import webbrowser
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from p300.errors import P300Error
from p300.text import printable
from p300_client.paths import STATE
from p300_client.target import Target

HOST = "127.0.0.1"
"""Anyone who reaches the console acts with the user's credentials, so it listens on this machine only."""
_PORTS_TRIED = 20


def serve(target: Target, port: int, *, browser: bool) -> None:
    """Print the address and serve until interrupted."""
    import uvicorn

    from p300_console.app import make_app
    from p300_console.connections import Connection
    from p300_console.security import Tokens
    from p300_console.stack import Stack

    listening = _listen(port)
    port = listening.getsockname()[1]

    def address(token: str) -> str:
        return f"http://{HOST}:{port}/?token={token}"

    tokens = Tokens(port, lambda token: _say(f"opened; for another browser: {address(token)}"))
    _say(f"target: {target}; stop with Ctrl-C. This address works once:")
    print(address(tokens.one_time), flush=True)
    app = make_app(Stack(target), port, tokens)

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.state.console.ending.set()  # a tab that follows a replay would delay Ctrl-C
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        proxy_headers=False,  # there is no proxy: such headers would be forged
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = Server(config)
    with ExitStack() as until_the_end:
        if browser and not _open(address(tokens.one_time), until_the_end):
            _say("no browser was found: open the address above in one")
        server.run(sockets=[listening])


def _open(address: str, until_the_end: ExitStack) -> bool:
    """Open an address in the browser through a page that only this user can read: any user can read the browser's command line."""
    try:
        STATE.mkdir(parents=True, exist_ok=True)
        folder = Path(until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="console-", dir=STATE)))
        page = folder / "open.html"
        page.write_text(
            f'<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
            f'<meta http-equiv="refresh" content="0;url={address}"><title>P300 console</title><a href="{address}">P300 console</a>'
        )
    except OSError:
        return False
    return webbrowser.open(page.as_uri())


def _listen(port: int) -> socket.socket:
    for number in range(port, min(port + _PORTS_TRIED, 65_536)) if port else [0]:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, number))
        except OSError:
            listening.close()
            continue
        listening.listen()  # from here on, a browser that opens the address is answered, even if late
        return listening
    raise P300Error(
        "no_port", f"The ports from {port} to {port + _PORTS_TRIED - 1} are all in use. Name another with --port."
    )


def _say(text: str) -> None:
    print(printable(text), file=sys.stderr)

"""Run the console on this machine."""

import socket
import webbrowser
from types import FrameType

from p300_cli.target import Target
from p300_cli.terminal import fail, note

HOST = "127.0.0.1"
"""Whoever reaches the console acts with the user's credentials: it is for this machine alone."""
_PORTS_TRIED = 20


def serve(target: Target, port: int, *, browser: bool) -> None:
    """Serve until interrupted; prints the address."""
    import uvicorn

    from p300_console.app import make_app
    from p300_console.stack import Stack

    listening = _listen(port)
    port = listening.getsockname()[1]
    address = f"http://{HOST}:{port}"
    note(f"target: {target}; stop with Ctrl-C")
    print(address, flush=True)
    app = make_app(Stack(target), port)

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.state.console.ending.set()  # a tab that follows a replay would hold up Ctrl-C
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=5
    )
    server = Server(config)
    if browser and not webbrowser.open(address):
        note(f"there is no browser here: open {address}")
    server.run(sockets=[listening])


def _listen(port: int) -> socket.socket:
    for number in range(port, port + _PORTS_TRIED) if port else [0]:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, number))
        except OSError:
            listening.close()
            continue
        listening.listen()  # from here on whoever read the address is answered, if late
        return listening
    fail(f"The ports from {port} to {port + _PORTS_TRIED - 1} are all taken; name another with --port.")

"""Where the `p300` script begins, before the imports that take time: Ctrl-C during those ends it without a traceback."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Run the command."""
    from p300_cli.main import main as run

    run()

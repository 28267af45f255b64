"""Turn whatever ends a command into one message for a person and an exit code for a script.

Known errors, botocore's and the operating system's among them, become a sentence. Anything else is a fault of this code: its traceback goes
to a file, and the message says where.
"""

import signal
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import NoReturn

from p300_client.errors import explain, short
from p300_client.paths import STATE

from p300_cli.terminal import fail

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


def run_command(command: Callable[[], object]) -> None:
    """Run a command line's main function; every way it can end becomes an exit code, with a message where it failed."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show a character shows another, and nothing ends
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        fail(explain(error) or _unexpected(error))


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    # As an exception, so that a terminal gets its cursor back and a half-written file goes.
    sys.exit(TERMINATED)


def _unexpected(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error))
    summary = short(f"{type(error).__name__}: {error}")
    path = STATE / "errors" / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", errors="replace")
    except OSError:
        return f"Unexpected {summary}. This is a fault of the program:\n{text}"
    return f"Unexpected {summary}. This is a fault of the program; please report it with {path}."

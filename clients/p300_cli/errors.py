"""Turn whatever ends a command into one message for a person and an exit code for a script.

Known errors, botocore's and the operating system's among them, become a sentence. Anything else is a fault of this code: its traceback goes
to a file, and the message says where.
"""

import errno
import signal
import sys
import traceback
import urllib.error
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from p300.errors import P300Error
from p300_client.paths import STATE

from p300_cli.terminal import fail

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
LONGEST_TEXT = 500
_FULL = {errno.ENOSPC, errno.EDQUOT}


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


def explain(error: BaseException) -> str | None:
    """Return one message for an error that a person can do something about; None for a fault of this code."""
    # The command starts without botocore: whoever raised one of its errors has imported it. Some are the system's errors as well.
    message = _explain_aws(error) if "botocore" in sys.modules else None
    match error:
        case P300Error():
            message = error.message
        case ModuleNotFoundError() if not str(error.name).startswith("p300"):
            message = f"The Python package {error.name} is missing: run `make setup`."
        case urllib.error.URLError():
            message = f"No answer from {getattr(error, 'url', None) or 'the server'}: {error.reason}"
        case OSError() if not message:
            message = _explain_os(error)
        case MemoryError():
            message = "There is not enough memory for this."
    return message


def _explain_os(error: OSError) -> str:
    path = Path(str(error.filename or ""))
    message = f"{path}: {error.strerror or error}" if error.filename else str(error.strerror or error)
    if error.errno in _FULL or STATE in (path, *path.parents):
        message += f". What a local run writes goes to {STATE}; P300_STATE_DIR names another folder."
    return message


def _explain_aws(error: BaseException) -> str | None:
    from xml.etree.ElementTree import ParseError

    from botocore import exceptions as aws
    from botocore.parsers import ResponseParserError

    message, advice = short(error), ""
    match error:
        case aws.ProfileNotFound():
            advice = "Unset AWS_PROFILE, or add the profile to ~/.aws/config."
        case aws.ConfigParseError() | aws.ConfigNotFound():
            advice = "Correct that file, or name another with AWS_CONFIG_FILE."
        case aws.NoCredentialsError() | aws.PartialCredentialsError() | aws.CredentialRetrievalError():
            advice = "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        case aws.ClientError():
            answer = error.response.get("Error", {})
            message = f"{error.operation_name} was refused with {answer.get('Code')}: {short(answer.get('Message'))}"
        case ResponseParserError() | ParseError():
            message, advice = "The answer is not one of AWS's or LocalStack's", "Check AWS_ENDPOINT_URL."
        case aws.BotoCoreError():
            pass
        case _:
            return None
    return f"{message.rstrip('.')}. {advice}".strip()


def short(error: object) -> str:
    """Return an error's text as one line of bearable length: some quote the whole request or answer."""
    text = " ".join(str(error).split())
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} [...]"


def unreachable() -> tuple[type[Exception], ...]:
    """Return the botocore errors that mean that nothing, or something else, answers at an address."""
    from botocore.exceptions import ConnectionError as NoConnectionError
    from botocore.exceptions import HTTPClientError
    from botocore.parsers import ResponseParserError

    return NoConnectionError, HTTPClientError, ResponseParserError


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

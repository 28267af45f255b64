"""One message for every error that the user can do something about: the project's own, botocore's, the system's."""

import errno
import sys
import urllib.error
from pathlib import Path

from p300.errors import P300Error

from p300_client.paths import STATE

LONGEST_TEXT = 500
_FULL = {errno.ENOSPC, errno.EDQUOT}


def explain(error: BaseException) -> str | None:
    """Return one message for an error that the user can do something about; None for a bug in this code."""
    # To start fast, the command does not import botocore: if one of its errors was raised, it is loaded. Some are OSErrors as well.
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
        message += f". A local run writes to {STATE}; set P300_STATE_DIR to use another folder."
    return message


def _explain_aws(error: BaseException) -> str | None:
    from xml.etree.ElementTree import ParseError  # nosec B405

    from botocore import exceptions as aws
    from botocore.parsers import ResponseParserError

    message, advice = short(error), ""
    match error:
        case aws.ProfileNotFound():
            advice = "Unset AWS_PROFILE, or add the profile to ~/.aws/config."
        case aws.ConfigParseError() | aws.ConfigNotFound():
            advice = "Correct that file, or set AWS_CONFIG_FILE to another one."
        case aws.NoCredentialsError() | aws.PartialCredentialsError() | aws.CredentialRetrievalError():
            advice = "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        case aws.ClientError():
            answer = error.response.get("Error", {})
            message = f"{error.operation_name} was refused with {answer.get('Code')}: {short(answer.get('Message'))}"
        case ResponseParserError() | ParseError():
            message, advice = "The answer does not come from AWS or LocalStack", "Check AWS_ENDPOINT_URL."
        case aws.BotoCoreError():
            pass
        case _:
            return None
    return f"{message.rstrip('.')}. {advice}".strip()


def short(error: object) -> str:
    """Return an error's text as one line of at most `LONGEST_TEXT` characters: some quote the whole request or answer."""
    text = " ".join(str(error).split())
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} [...]"


def unreachable() -> tuple[type[Exception], ...]:
    """Return the botocore errors raised when nothing answers at an address, or something else does."""
    from botocore.exceptions import ConnectionError as NoConnectionError
    from botocore.exceptions import HTTPClientError
    from botocore.parsers import ResponseParserError

    return NoConnectionError, HTTPClientError, ResponseParserError

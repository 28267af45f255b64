"""Keeps the bytes of S3 objects in LocalStack's own temporary folder.

LocalStack uses one fixed folder for every LocalStack and every user of the machine, and no setting moves it. A second
user cannot write there, and nobody knows whose files are left in it.
"""

import tempfile
from pathlib import Path

from localstack.services.s3 import provider

from . import repairs


def install() -> None:
    """Name a folder below TMPDIR instead; S3 is started after this."""
    repairs.replace(provider, "DEFAULT_S3_TMP_DIR", lambda _usual: str(Path(tempfile.gettempdir()) / "s3-objects"))

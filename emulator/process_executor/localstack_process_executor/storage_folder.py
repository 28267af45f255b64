"""Keeps the bytes of S3 objects in LocalStack's own temporary folder.

LocalStack uses one fixed folder for all its processes and all users of the machine, and no setting moves it. A second
user cannot write there, and nobody can tell to whom leftover files belong.
"""

import tempfile
from pathlib import Path

from localstack.services.s3 import provider

from . import repairs


def install() -> None:
    """Use a folder below TMPDIR instead; this runs before S3 starts."""
    repairs.replace(provider, "DEFAULT_S3_TMP_DIR", lambda _usual: str(Path(tempfile.gettempdir()) / "s3-objects"))

"""Keeps the bytes of S3 objects in LocalStack's own temporary folder.

LocalStack uses one fixed folder for every LocalStack and every user of the machine, and no setting moves it. A second
user cannot write there, and nobody knows whose files are left in it.
"""

import tempfile
from pathlib import Path

from localstack.services.s3 import provider


def install() -> None:
    """Name a folder below TMPDIR instead; S3 is started after this.

    Raises
    ------
    RuntimeError
        If this LocalStack has no such setting to replace: objects would end up elsewhere unnoticed.
    """
    if not hasattr(provider, "DEFAULT_S3_TMP_DIR"):
        raise RuntimeError("LocalStack's S3 provider has no DEFAULT_S3_TMP_DIR: where does this release keep objects?")
    provider.DEFAULT_S3_TMP_DIR = str(Path(tempfile.gettempdir()) / "s3-objects")

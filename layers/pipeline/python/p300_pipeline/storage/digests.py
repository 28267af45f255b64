"""SHA-256 digests of objects and files."""

import base64
import hashlib
from pathlib import Path


def sha256_base64(data: bytes | Path) -> str:
    """Return the SHA-256 digest of `data`, or of a file's content, as S3 wants it: base64."""
    return base64.b64encode(_sha256(data)).decode()


def sha256_hex(data: bytes | Path) -> str:
    """Return the SHA-256 digest of `data`, or of a file's content, as people read it."""
    return _sha256(data).hex()


def _sha256(data: bytes | Path) -> bytes:
    if isinstance(data, bytes):
        return hashlib.sha256(data).digest()
    with data.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()

"""Everything the pipeline does with S3.

Writes that decide something are conditional (``If-None-Match``, ``If-Match``), so two executions that do the same work at the same time
never overwrite each other unnoticed. `compare_and_swap` repeats such a write until it wins or there is nothing left to write.
"""

from .client import default_client
from .digests import sha256_base64, sha256_hex
from .errors import (
    NoBucketError,
    NotFoundError,
    PreconditionError,
    UnchangedError,
    UnreadableError,
    storage_errors,
)
from .store import Item, Store, find
from .swap import Keep, Write, compare_and_swap

__all__ = [
    "Item",
    "Keep",
    "NoBucketError",
    "NotFoundError",
    "PreconditionError",
    "Store",
    "UnchangedError",
    "UnreadableError",
    "Write",
    "compare_and_swap",
    "default_client",
    "find",
    "sha256_base64",
    "sha256_hex",
    "storage_errors",
]

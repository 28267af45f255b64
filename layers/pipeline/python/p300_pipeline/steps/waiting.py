"""Recordings of several files while some of them are missing: which header a companion belongs to, and how long to wait."""

import tempfile
import time
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path

from p300.errors import RecordingError
from p300.formats import HEADER_OF
from p300.limits import LARGEST_HEADER_BYTES
from p300.readers.companions import N_BEGINNING, companions, is_part
from p300.usable import reading

from p300_pipeline.contracts import IngestResult
from p300_pipeline.keys import RecordingKey, is_companion, is_recording
from p300_pipeline.storage import Item, NotFoundError, PreconditionError, Store, UnreadableError, find

LARGEST_NAMING_HEADER_BYTES = {"vhdr": LARGEST_HEADER_BYTES, "set": 64 << 20}
"""Of a header that is looked into for a companion's name."""
MOST_OBJECTS_LISTED = 10_000
MOST_HEADERS_LOOKED_INTO = 50
MOST_BYTES_LOOKED_INTO = 128 << 20
"""At each look, of all headers in a companion's folder. A header that is not reached finds its companions itself."""
_MOST_REMEMBERED = 4096
_remembered: dict[tuple[str, str, str], frozenset[str]] = {}
"""What headers name, by bucket, key and ETag: a companion is looked for again and again, and the same bytes name the same files."""


def is_companion_file(store: Store, bucket: str, item: Item) -> bool:
    """Tell whether an object belongs to a header: by its first bytes where its extension leaves a doubt."""
    if not (is_companion(item.key) and is_recording(item.key)):
        return is_companion(item.key)
    beginning, _ = store.get(bucket, item.key, version_id=item.version_id, if_match=item.etag, most=N_BEGINNING)
    return is_part(item.key, beginning)


def header_of(store: Store, landing: str, companion: Item) -> Item | None:
    """Find the header in the landing zone that names a companion; it may have another name than the companion's."""
    name = companion.key.rpartition("/")[2]
    n_headers, n_bytes = MOST_HEADERS_LOOKED_INTO, MOST_BYTES_LOOKED_INTO
    for listed in _candidates(store, landing, companion.key):
        names = _remembered.get((landing, listed.key, listed.etag))
        if names is None:
            n_headers, n_bytes = n_headers - 1, n_bytes - listed.size
            if n_headers < 0 or n_bytes < 0:
                return None
            names = _names_in(store, landing, listed)
        if name in names and (header := find(store, landing, listed.key)) and header.etag == listed.etag:
            return header
    return None


def _names_in(store: Store, landing: str, header: Item) -> frozenset[str]:
    """Return the files that a header names; none where it cannot be read: its own execution says what is wrong with it."""
    names: frozenset[str] = frozenset()
    try:
        key = RecordingKey.parse(header.key)
        with tempfile.TemporaryDirectory() as temporary, reading(str(key)):
            path = Path(temporary) / key.file_name
            store.download(landing, header.key, path, if_match=header.etag)
            names = frozenset(companions(path, name=str(key)))
    except (NotFoundError, PreconditionError, UnreadableError):
        return names  # of other bytes
    except RecordingError:
        pass
    while len(_remembered) >= _MOST_REMEMBERED:
        _remembered.pop(next(iter(_remembered)))
    _remembered[landing, header.key, header.etag] = names
    return names


def _candidates(store: Store, landing: str, companion: str) -> list[Item]:
    """Return the headers of a folder that may name a companion: the one of its name first, then the latest."""
    stem, _, extension = companion.rpartition(".")
    kind = HEADER_OF[extension.lower()]
    folder = islice(store.list(landing, f"{companion.rpartition('/')[0]}/"), MOST_OBJECTS_LISTED)
    headers = {
        item.key: item
        for item in chain(islice(store.list(landing, f"{stem}."), MOST_OBJECTS_LISTED), folder)
        if item.key.rpartition(".")[2].lower() == kind and 0 < item.size <= LARGEST_NAMING_HEADER_BYTES[kind]
    }
    return sorted(headers.values(), key=lambda item: (item.key.rpartition(".")[0] != stem, -item.modified))


def wait(
    key: RecordingKey | str, files: Sequence[Item], missing: Sequence[str], wait_for_files_s: float
) -> IngestResult:
    """Answer for files that cannot move yet: look again, or say that what is missing has not come in time."""
    waited = max(0.0, time.time() - max(item.modified for item in files))
    late = waited > wait_for_files_s
    return {
        "outcome": "incomplete" if late else "waiting",
        "key": str(key),
        "files": [item.key for item in files],
        "missing": list(missing),
        "detail": f"{key} is one of several files that are a recording together, and there is no {' and no '.join(missing)} in the landing "
        f"zone{f' after {wait_for_files_s:.0f} s' if late else ' yet'}. Upload what is missing, or all files again: until then "
        "these stay in the landing zone, and what comes last completes the recording.",
        "look_again_s": int(min(60, max(2, waited / 4))),
    }

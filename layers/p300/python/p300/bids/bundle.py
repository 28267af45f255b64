"""What a BIDS data set says about one recording, in one file that lands with it: ``<recording>.bids.json``.

It holds every metadata file that applies, from the recording's own folder up to the root, as it is in the data set, so that it does not
matter who puts it together or in which order the files came; of `participants.tsv` it holds the recording's own subject alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

from p300 import json_text
from p300.errors import RecordingError
from p300.formats import BIDS_ENDING
from p300.limits import LARGEST_BIDS_BYTES, LARGEST_BIDS_FILE_BYTES, MOST_BIDS_FILES

from .paths import PEOPLE, Named, applies, metadata_of, recording_of
from .pointers import refuse_pointer
from .tables import bad_bids, read_table


@dataclass(frozen=True)
class Bundle:
    """What a data set says about a recording.

    Attributes
    ----------
    recording : str
        Path of the recording in the data set.
    files : mapping of str to str
        Text of each metadata file that applies, by its path in the data set.
    """

    recording: str
    files: Mapping[str, str] = field(default_factory=dict)

    def of_kind(self, suffix: str, extension: str) -> list[tuple[str, str]]:
        """Return path and text of the files of a kind, the nearest to the recording last.

        Raises
        ------
        RecordingError
            ``bad_bids`` where two are equally near, unless they are the same positions in different coordinates.
        """
        named = [
            one
            for path in self.files
            if (one := metadata_of(path)) and (one.suffix, one.extension) == (suffix, extension)
        ]
        ordered = sorted(named, key=lambda one: one.nearness)
        for first, second in pairwise(ordered):
            if first.nearness == second.nearness and first.space == second.space:
                raise bad_bids(first.path, f"it and {second.path} both apply to {self.recording}; expected one of them")
        return [(one.path, self.files[one.path]) for one in ordered]

    def to_bytes(self) -> bytes:
        """Return the content of the file: the same for the same metadata."""
        said = {"recording": self.recording, "files": dict(sorted(self.files.items()))}
        return (json.dumps(said, indent=1, ensure_ascii=False) + "\n").encode()


def name_of(recording: str) -> str:
    """Return the name of the file that lands with a recording, without a folder."""
    return PurePosixPath(recording).stem + BIDS_ENDING


def bundle(recording: str, files: Mapping[str, bytes]) -> Bundle:
    """Put together what a data set says about a recording.

    Parameters
    ----------
    recording : str
        Its path in the data set.
    files : mapping of str to bytes
        Content of metadata files by path; those that do not apply are left out.

    Returns
    -------
    Bundle

    Raises
    ------
    RecordingError
        ``bad_bids``, ``pointer`` or ``too_large``.
    """
    named = _recording(recording)
    used = {path: body for path, body in files.items() if (one := metadata_of(path)) and applies(one, named)}
    texts = {path: _text(body, path) for path, body in used.items()}
    if PEOPLE in texts:
        texts[PEOPLE] = _of_subject(texts[PEOPLE], named.entities["sub"])
    return _checked(Bundle(recording, texts))


def parse(body: bytes, name: str) -> Bundle:
    """Read a bundle.

    Parameters
    ----------
    body : bytes
        As `Bundle.to_bytes` makes it.
    name : str
        What to call it in messages.

    Returns
    -------
    Bundle

    Raises
    ------
    RecordingError
        ``bad_bids`` or ``too_large``.
    """
    if len(body) > LARGEST_BIDS_BYTES:
        raise _too_large(name, LARGEST_BIDS_BYTES)
    try:
        said: Any = json_text.loads(body.decode())
        json.dumps(said, ensure_ascii=False).encode()  # half a surrogate pair may be in JSON, and nowhere else
    except (ValueError, RecursionError) as error:
        raise bad_bids(name, f"it is not JSON in UTF-8: {error}") from error
    is_form = isinstance(said, dict) and set(said) == {"recording", "files"} and isinstance(said["files"], dict)
    if not is_form or not all(isinstance(text, str) for text in (said["recording"], *said["files"].values())):
        raise bad_bids(
            name, 'its form is unknown; expected {"recording": path, "files": {path: text}}, as p300 land writes it'
        )
    named = _recording(said["recording"])
    for path in said["files"]:
        one = metadata_of(path)
        if one is None or not applies(one, named):
            raise bad_bids(name, f"it has the file {path[:200]!r}; expected metadata that apply to {named.path}")
    return _checked(Bundle(named.path, said["files"]))


def _recording(path: str) -> Named:
    named = recording_of(path)
    if named is None:
        raise bad_bids(
            path[:200],
            "it is not the path of an EEG recording; expected sub-<label>/[ses-<label>/]eeg/sub-<label>_..._eeg.edf",
        )
    return named


def _checked(made: Bundle) -> Bundle:
    if len(made.files) > MOST_BIDS_FILES:
        raise bad_bids(
            made.recording, f"{len(made.files)} metadata files apply to it; expected at most {MOST_BIDS_FILES}"
        )
    if sum(len(text) for text in made.files.values()) > LARGEST_BIDS_BYTES // 2:  # the rest is for escaped characters
        raise _too_large(f"what its data set says about {made.recording}", LARGEST_BIDS_BYTES // 2)
    return made


def _text(body: bytes, path: str) -> str:
    if len(body) > LARGEST_BIDS_FILE_BYTES:
        raise _too_large(path, LARGEST_BIDS_FILE_BYTES)
    refuse_pointer(body, path)
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise bad_bids(path, f"it is not text in UTF-8: {error.reason} at byte {error.start}") from error


def _of_subject(text: str, label: str) -> str:
    """Return the names of a table of participants and the row of one of them."""
    table = read_table(text, PEOPLE, required=("participant_id",))
    rows = [row for row in table.rows() if row["participant_id"] == f"sub-{label}"]
    if len(rows) > 1:
        raise bad_bids(PEOPLE, f"sub-{label} has {len(rows)} rows; expected one")
    return "".join("\t".join(line) + "\n" for line in (table.columns, *(row.values() for row in rows)))


def _too_large(name: str, most: int) -> RecordingError:
    return RecordingError("too_large", f"{name} has more than {most:,} bytes; expected at most as many. Shorten it.")

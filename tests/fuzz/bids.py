"""What BIDS data sets say about a recording: whatever it is, it is refused with the reason, or what is read with it is a recording."""

import json
import random
from pathlib import Path

from p300.bids.bundle import Bundle, name_of

from tests.fuzz import corpus
from tests.fuzz.corpus import EVENTS, Files
from tests.fuzz.mutation import havoc, text

STEM = "sub-01_task-p300_eeg"
RECORDING, BUNDLE = f"{STEM}.edf", name_of(f"{STEM}.edf")
_BASE = "sub-01/eeg/sub-01_task-p300"
EVENT_ROWS = [f"{sample / 256:.4f}\tn/a\t{name}\t{sample}\t3\n" for name, sample in EVENTS]
SAID = {
    "dataset_description.json": '{"Name": "a", "BIDSVersion": "1.10.0", "DatasetType": "raw"}',
    "participants.tsv": "participant_id\tage\nsub-01\t30\n",
    "task-p300_eeg.json": '{"PowerLineFrequency": 50, "EEGReference": "A1", "RecordingType": "continuous"}',
    f"{_BASE}_eeg.json": '{"SamplingFrequency": 256}',
    f"{_BASE}_channels.tsv": "name\ttype\tunits\tstatus\nFz\tEEG\tuV\tgood\nCz\tEEG\tuV\tbad\nPz\tMISC\tn/a\tn/a\n",
    f"{_BASE}_events.tsv": "onset\tduration\ttrial_type\tsample\tflash\n"
    + "".join(EVENT_ROWS)
    + "1\t0.5\tBAD_x\t256\tn/a\n",
    f"{_BASE}_space-CapTrak_electrodes.tsv": "name\tx\ty\tz\nFz\t0\t0.1\t0.2\nCz\tn/a\tn/a\tn/a\n",
    f"{_BASE}_space-CapTrak_coordsystem.json": '{"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "m"}',
}


def _files(said: dict[str, str]) -> Files:
    recording = next(iter(corpus.files("edf")[0].values()))
    return {RECORDING: recording, BUNDLE: Bundle(f"sub-01/eeg/{RECORDING}", said).to_bytes()}


def whole() -> list[Files]:
    """Return well-formed metadata, with their recording."""
    return [_files(SAID), _files({})]


def make(rng: random.Random) -> Files:
    said = {path: content for path, content in SAID.items() if rng.random() < 0.9}
    for path in list(said):
        if rng.random() < 0.3:
            said[path] = text(rng, said[path], rng.randint(1, 3))
    files = _files({path: content.encode(errors="replace").decode() for path, content in said.items()})
    if rng.random() < 0.1:
        files[BUNDLE] = havoc(rng, files[BUNDLE], rng.randint(1, 3))
    return files


def run(files: Files, folder: Path, all_the_way: bool) -> str:
    from p300.bids.bundle import parse
    from p300.readers import open_recording
    from p300.readers.bids import said_by
    from p300.text import is_clean

    said = said_by(parse(files[BUNDLE], BUNDLE))
    assert all(map(is_clean, said.notes))
    assert is_clean(json.dumps(said.facts))
    if not all_the_way:
        return "parsed"
    for name, body in files.items():
        (folder / name).write_bytes(body)
    stream = open_recording(folder / RECORDING)
    assert stream.bids == said.facts
    assert len(stream.stim) == stream.n_samples
    return "read"

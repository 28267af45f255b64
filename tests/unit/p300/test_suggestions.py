"""What a refusal suggests: followed, it makes the recording right or leads to a refusal that says something new, never to wrong labels."""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from p300.errors import RecordingError
from p300.inspection import inspect
from p300.readers import open_recording

from tests.support.generated import (
    CHANNELS,
    EVENTS,
    LINES,
    MADE,
    TARGET,
    Session,
    write_brainvision,
    write_fif,
    write_parquet,
)

EXAMPLES = int(os.environ.get("P300_FUZZ_EXAMPLES", "30"))
ADVICE = re.compile(r'\{"(?:event_id|channel_kinds|sfreq|event_column|unit)":.*?\}+')


def named(session: Session, target: str, non_target: str) -> list[tuple[int, str]]:
    names = (target if label == TARGET else non_target for label in session.labels)
    return list(zip(session.onsets.tolist(), names, strict=True))


def refused(path: Path, code: str, sidecar: dict[str, Any] | None = None) -> str:
    """Return the message of a refusal for which `inspect` proposes nothing."""
    found = inspect(path, sidecar=sidecar)
    assert found.refusal is not None
    assert (found.refusal.code, found.mapping, found.with_mapping) == (code, {}, None)
    return found.refusal.message


# ---- events
@pytest.mark.parametrize(
    "pair", [("NonTarget", "Target"), ("nontarget", "target"), ("Comment/NonTarget", "Comment/Target")]
)
def test_swapped_names_are_not_confirmed(tmp_path: Path, pair: tuple[str, str]) -> None:
    message = refused(write_brainvision(tmp_path / "a.vhdr", MADE, named(MADE, *pair)), "implausible_events")
    assert "whether names or codes are swapped" in message
    assert '{"event_id"' not in message


@pytest.mark.parametrize(
    ("pair", "code"), [(("Target", "NonTarget"), "implausible_events"), (("dev", "std"), "unknown_codes")]
)
def test_events_at_begin_and_end_of_a_flash_are_not_confirmed(tmp_path: Path, pair: tuple[str, str], code: str) -> None:
    both = sorted(event for sample, name in named(MADE, *pair) for event in ((sample, name), (sample + 20, name)))
    message = refused(write_brainvision(tmp_path / "a.vhdr", MADE, both), code)
    assert "whether a flash has one event" in message
    assert '{"event_id"' not in message


def test_of_three_names_none_is_guessed(tmp_path: Path) -> None:
    others = [(sample + 9, "blink") for sample in MADE.onsets[::5].tolist()]
    path = write_brainvision(tmp_path / "a.vhdr", MADE, sorted([*named(MADE, "deviant", "standard"), *others]))
    message = refused(path, "unknown_codes")
    assert "Stimulus/standard (40), Stimulus/blink (10), Stimulus/deviant (8)" in message
    assert '"<name of targets>": 2' in message


def test_a_stim_channel_that_contradicts_swapped_annotations_is_told(tmp_path: Path) -> None:
    path = write_fif(tmp_path / "a_raw.fif", MADE.line(MADE.labels), named(MADE, "NonTarget", "Target"))
    message = refused(path, "contradictory_events")
    assert (
        "40 Target and 8 NonTarget flashes in the annotations, 8 Target and 40 NonTarget flashes in the stim channel"
        in message
    )
    assert '{"event_id"' not in message


def test_a_declaration_that_contradicts_annotations_is_noted(tmp_path: Path) -> None:
    path = write_fif(tmp_path / "a_raw.fif", MADE.line(MADE.labels), named(MADE, "Target", "NonTarget"))
    notes = open_recording(path, sidecar={"event_id": {"1": 2, "2": 1}}).notes
    assert any(
        "as declared, though they contradict the annotations: 40 Target and 8 NonTarget" in note for note in notes
    )
    right = open_recording(path, sidecar={"event_id": {"1": 1, "2": 2}})
    np.testing.assert_array_equal(right.flashes.label, MADE.labels)
    assert any("the annotations say the same" in note for note in right.notes)


@pytest.mark.parametrize("targets", [-1, 1])
def test_a_negative_code_can_be_declared(tmp_path: Path, targets: int) -> None:
    path = write_parquet(tmp_path / "a.parquet", MADE, MADE.line(np.where(MADE.labels == TARGET, targets, -targets)))
    found = inspect(path)
    assert found.mapping == {"event_id": {str(-targets): 1, str(targets): 2}}
    np.testing.assert_array_equal(open_recording(path, sidecar=found.mapping).flashes.label, MADE.labels)


def test_garbage_gets_no_mapping(tmp_path: Path) -> None:
    """The header says whole numbers of 16 bits, and the file has floating point."""
    path = write_brainvision(tmp_path / "a.vhdr", MADE, named(MADE, "deviant", "standard"))
    path.with_suffix(".eeg").write_bytes(MADE.eeg_uv.T.astype("<f4").tobytes())
    found = inspect(path)
    assert found.mapping == {}
    assert found.still_refused is not None
    right_names = write_brainvision(tmp_path / "b.vhdr", MADE, named(MADE, "Target", "NonTarget"))
    right_names.with_suffix(".eeg").write_bytes(np.tile(MADE.eeg_uv.T * 1e4, 2).astype("<i2").tobytes())
    assert inspect(right_names).mapping == {}


# ---- columns and channels
def test_a_column_of_groups_is_not_taken_for_classes(tmp_path: Path) -> None:
    groups = MADE.line(MADE.groups)
    times = np.arange(MADE.n_samples) / MADE.sfreq
    for prefix in ("", "eeg_"):
        path = tmp_path / f"{prefix}a.csv"
        names = ["time", *(prefix + channel for channel in CHANNELS), "flash"]
        np.savetxt(
            path, np.column_stack([times, *MADE.eeg_uv, groups]), "%.5f", ",", header=",".join(names), comments=""
        )
        message = refused(path, "missing_stim")
        assert "'flash' says which group flashed, and not whether it was a target" in message
        assert "event_column" not in message


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_texts_in_a_stim_column_are_named_with_what_to_write(tmp_path: Path, kind: pa.DataType) -> None:
    texts = np.array(["", "NonTarget", "Target"])[MADE.line(MADE.labels)].tolist()
    columns = {f"eeg_{name}": row for name, row in zip(CHANNELS, MADE.eeg_uv, strict=True)}
    table = pa.table({**columns, "stim": pa.array(texts, pa.string()).cast(kind)})
    pq.write_table(table.replace_schema_metadata({"sfreq": "256"}), tmp_path / "a.parquet")
    message = refused(tmp_path / "a.parquet", "not_numeric")
    assert "NonTarget (40), Target (8). Expected numbers: write 1" in message
    rows = [",".join(["time", *columns, "stim"])]
    rows += [
        f"{n / 256:.6f},{','.join(map(str, sample))},{text}"
        for n, (sample, text) in enumerate(zip(MADE.eeg_uv.T, texts, strict=True))
    ]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    assert "NonTarget (40), Target (8). Expected numbers: write 1" in refused(tmp_path / "a.csv", "not_numeric")


def test_magnetometers_are_not_proposed_as_eeg(tmp_path: Path) -> None:
    path = write_fif(tmp_path / "a_raw.fif", MADE.line(MADE.labels), [], "mag", ("MEG0111", "MEG0121", "MEG0131"))
    assert "channel_kinds" not in refused(path, "missing_eeg")


def test_electrodes_that_lost_their_type_are_proposed_together(tmp_path: Path) -> None:
    found = inspect(write_fif(tmp_path / "a_raw.fif", MADE.line(MADE.labels), [], "misc"))
    assert found.mapping == {"channel_kinds": dict.fromkeys(CHANNELS, "eeg")}
    assert found.with_mapping is not None
    assert found.with_mapping.channels == CHANNELS


# ---- all kinds
PAIRS = [
    ("Target", "NonTarget"), ("Target", "Standard"), ("Oddball", "NonTarget"), ("S  1", "S  2"), ("S 11", "S 12"), ("go", "stop"),
    ("Comment/Target", "Comment/NonTarget"), ("2", "1"), ("1", "2"), ("R  2", "R  1"), ("7", "Comment/begin"), ("NonTarget", "Target"),
]  # fmt: skip
"""Of targets and non-targets; the last pair is swapped."""


def followed(write: Any, name: str, *content: Any, session: Session) -> None:
    """Assert that what `inspect` proposes, and what the message spells out, is right or refused for another reason."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / name, *content)
        found = inspect(path)
        if found.refusal is None:
            return
        if found.with_mapping is not None:
            np.testing.assert_array_equal(open_recording(path, sidecar=found.mapping).flashes.label, session.labels)
        if found.refusal.code == "contradictory_events":  # says what to declare in either case
            assert found.mapping == {}
            return
        for advice in ADVICE.findall(found.refusal.message):
            if "<name" in advice:
                continue
            try:
                stream = open_recording(path, sidecar=json.loads(advice))
            except RecordingError as refusal:
                assert refusal.message != found.refusal.message
            else:
                np.testing.assert_array_equal(stream.flashes.label, session.labels)


@given(
    st.builds(Session, n_repetitions=st.integers(2, 5), seed=st.integers(0, 10**6)),
    st.sampled_from(sorted(EVENTS)),
    st.sampled_from(PAIRS),
    st.sampled_from(["nothing", "pairs", "blink", "S 99", "Response/R  1", "Comment/odd"]),
)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)
def test_what_is_suggested_for_named_events_is_right(
    session: Session, name: str, pair: tuple[str, str], fault: str
) -> None:
    if fault == "pairs":
        session = Session(n_repetitions=9, seed=session.seed)  # of fewer, chance may make pairs
    marked = named(session, *pair)
    if fault == "pairs":
        marked = sorted(event for sample, text in marked for event in ((sample, text), (sample + 20, text)))
    elif fault != "nothing":
        marked = sorted([*marked, *((sample + 11, fault) for sample, _ in marked[:: 2 + session.seed % 5])])
    followed(EVENTS[name], name, session, marked, session=session)


@given(
    st.builds(Session, n_repetitions=st.integers(2, 5), seed=st.integers(0, 10**6)),
    st.sampled_from(sorted(LINES)),
    st.lists(st.integers(1, 40), min_size=2, max_size=2, unique=True),
    st.sampled_from(["nothing", "pairs", "others", "negative"]),
)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)
def test_what_is_suggested_for_codes_is_right(session: Session, name: str, codes: list[int], fault: str) -> None:
    if fault == "pairs":
        session = Session(n_repetitions=9, seed=session.seed)
    line = session.line(np.where(session.labels == TARGET, codes[0], codes[1]))
    if fault == "pairs":
        line[session.onsets + 20] = line[session.onsets]
    elif fault == "others":
        line[session.onsets[:: 2 + session.seed % 5] + 14] = 41
    elif fault == "negative" and not name.endswith(("edf", "bdf")):
        line[line == codes[0]] = -1
    followed(LINES[name], name, session, line, session=session)

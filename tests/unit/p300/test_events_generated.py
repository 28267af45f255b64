"""Events in every format, right and wrong in every way that labs have them: what is read is right, all else is refused.

P300_FUZZ_EXAMPLES recordings are generated of each kind; `make fuzz-recordings` takes many.
"""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.readers import open_recording
from p300.recording import RecordingStream
from p300.signals.flashes import find_flashes
from p300.signals.triggers import settling

from tests.support.generated import EVENTS, LINES, NON_TARGET, TARGET, Session

EXAMPLES = int(os.environ.get("P300_FUZZ_EXAMPLES", "60"))
generated = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
sessions = st.builds(
    Session,
    sfreq=st.sampled_from([128, 200, 256, 500, 512]),
    n_repetitions=st.integers(2, 5),
    seed=st.integers(0, 10**6),
)
REFUSALS = {
    "unknown_codes", "no_targets", "no_non_targets", "implausible_events", "unclear_triggers", "missing_stim", "no_events",
}  # fmt: skip


def opened(write: Any, name: str, *content: Any, event_id: Any = None) -> RecordingStream:
    with tempfile.TemporaryDirectory() as folder:
        return open_recording(write(Path(folder) / name, *content), event_id=event_id)


def assert_right(stream: RecordingStream, session: Session, tolerance: int = 0) -> None:
    flashes = find_flashes(stream.stim, stream.flash)
    assert len(flashes) == len(session.onsets)
    assert np.abs(flashes.onset_sample - session.onsets).max() <= tolerance
    np.testing.assert_array_equal(flashes.label, session.labels)


def declared_in(message: str) -> dict[str, int]:
    """The mapping that a refusal suggests, as it would be pasted."""
    found = re.search(r'\{"event_id": \{.*?\}\}', message)
    assert found, message
    mapping: dict[str, int] = json.loads(found[0])["event_id"]
    return mapping


# ---- names
SPELLINGS = [
    ("Target", "NonTarget"), ("target", "nontarget"), ("Target", "Non-Target"), ("TARGET", "non target"),
    ("Target", "non_target"), ("S  2", "S  1"), ("S2", "S1"), ("2", "1"), ("Stimulus/S  2", "Stimulus/S  1"),
    ("Comment/Target", "Comment/NonTarget"),
]  # fmt: skip
"""Target and non-target, as the vocabulary has them."""
UNKNOWN = [
    ("S 21", "S  1"), ("S  1", "S  2"), ("deviant", "standard"), ("Target", "Standard"), ("R  2", "R  1"), ("T 2", "T 1"),
    ("Response/R  2", "Response/R  1"), ("Comment/2", "Comment/1"), ("33", "4"), ("A2", "A1"), ("hit", "miss"),
    ("Target onset", "NonTarget onset"), ("my target", "no target"), ("S 60", "S 20"), ("S  3", "S  2"), ("1", "2"),
]  # fmt: skip
"""Other names, one of the two known, and the codes the other way round."""


@st.composite
def events(draw: st.DrawFn, session: Session, pair: tuple[str, str]) -> list[tuple[int, str]]:
    """The session's flashes under two names, among what else is in such files."""
    flashes = [
        (int(o), pair[0] if label == TARGET else pair[1])
        for o, label in zip(session.onsets, session.labels, strict=True)
    ]
    others = []
    for kind in draw(
        st.lists(st.sampled_from(["start", "blink", "response", "comment", "pause"]), max_size=3, unique=True)
    ):
        if kind == "start":
            others.append((5, "experiment start"))
        elif kind == "blink":
            others += [(int(onset) + 30, "blink") for onset in session.onsets[::7]]
        elif kind == "response" and not pair[0].startswith("Response"):
            others += [(int(onset) + 60, "Response/R  2") for onset in session.onsets[session.labels == TARGET]]
            others += [(int(onset) + 61, "Response/R  1") for onset in session.onsets[:3]]
        elif kind in ("comment", "response"):
            others.append((20, "Comment/target was the letter A"))
        elif not pair[0].startswith("Comment"):  # comments beside coded stimuli are no flashes, whatever they say
            others += [(int(session.onsets[12 * i]) - 10, "S 99") for i in range(session.n_repetitions - 1)]
    return sorted(flashes + others)


@given(st.data(), sessions, st.sampled_from(sorted(EVENTS)), st.sampled_from(SPELLINGS))
@generated
def test_known_names_are_the_flashes(data: st.DataObject, session: Session, name: str, pair: tuple[str, str]) -> None:
    stream = opened(EVENTS[name], name, session, data.draw(events(session, pair)))
    assert_right(stream, session)


@given(st.data(), sessions, st.sampled_from(sorted(EVENTS)), st.sampled_from(UNKNOWN))
@generated
def test_other_names_are_refused_and_right_once_declared(
    data: st.DataObject, session: Session, name: str, pair: tuple[str, str]
) -> None:
    marked = data.draw(events(session, pair))
    try:
        opened(EVENTS[name], name, session, marked)
    except RecordingError as refusal:
        assert refusal.code in REFUSALS
        assert all(f"{sum(1 for _, n in marked if n == part)}" in refusal.message for part in pair), refusal
        assert "event_id" in refusal.message
    else:
        raise AssertionError("read without being declared")
    stream = opened(EVENTS[name], name, session, marked, event_id={pair[0]: TARGET, pair[1]: NON_TARGET})
    assert_right(stream, session)


@given(sessions, st.sampled_from(sorted(EVENTS)), st.sampled_from(UNKNOWN))
@generated
def test_the_mapping_that_a_refusal_suggests_is_right_where_there_are_two_names(
    session: Session, name: str, pair: tuple[str, str]
) -> None:
    marked = [
        (int(o), pair[0] if label == TARGET else pair[1])
        for o, label in zip(session.onsets, session.labels, strict=True)
    ]
    try:
        opened(EVENTS[name], name, session, marked)
    except RecordingError as refusal:
        assert_right(opened(EVENTS[name], name, session, marked, event_id=declared_in(refusal.message)), session)


# ---- codes
@st.composite
def numbered(draw: st.DrawFn, session: Session) -> tuple[str, NDArray[np.int64]]:
    """Codes as labs have them: their name, and the code of each flash."""
    is_target, groups = session.labels == TARGET, session.groups.astype(np.int64)
    kind = draw(
        st.sampled_from(["plain", "swapped", "groups", "pair", "brain invaders", "offset", "random", "all", "openvibe"])
    )
    low, high = draw(st.lists(st.integers(1, 255), min_size=2, max_size=2, unique=True))
    made = {
        "plain": np.where(is_target, 2, 1),
        "swapped": np.where(is_target, 1, 2),
        "groups": groups,
        "pair": np.where(is_target, high, low),
        "brain invaders": np.where(is_target, 60, 20) + np.where(groups <= 6, groups - 1, groups - 7 + 20),
        "offset": np.where(is_target, 100, 0) + groups,
        "random": np.random.default_rng(low).integers(1, 1 + high, len(groups)),
        "all": np.full(len(groups), low),
        "openvibe": np.where(is_target, 33285, 33286),
    }
    return kind, made[kind].astype(np.int64)


KNOWN = {"plain", "brain invaders", "openvibe"}


@given(st.data(), sessions, st.sampled_from(sorted(LINES)), st.integers(1, 12))
@generated
def test_codes_are_flashes_if_all_of_them_are_known(
    data: st.DataObject, session: Session, name: str, width: int
) -> None:
    kind, codes = data.draw(numbered(session))
    if kind == "openvibe" and name == "a.edf":
        return  # more than its 16 bits hold
    if kind == "random" and set(codes) <= {1, 2}:
        return  # nothing tells them from classes
    is_plain = bool((codes == session.labels).all())
    known = is_plain or (kind in KNOWN and (kind != "brain invaders" or len(set(codes)) >= 6))
    try:
        stream = opened(LINES[name], name, session, session.line(codes, width))
    except RecordingError as refusal:
        assert not known, refusal
        assert refusal.code in REFUSALS
    else:
        assert known
        assert_right(stream, session)


@given(st.data(), sessions, st.sampled_from(sorted(LINES)))
@generated
def test_declared_codes_are_taken_as_they_are(data: st.DataObject, session: Session, name: str) -> None:
    high, low, other = data.draw(st.lists(st.integers(1, 255), min_size=3, max_size=3, unique=True))
    codes = np.where(session.labels == TARGET, high, low)
    line = session.line(codes, 4)
    line[10:14] = other
    stream = opened(LINES[name], name, session, line, event_id={str(high): TARGET, low: NON_TARGET})
    assert_right(stream, session)
    assert any(f"{other} (1)" in note for note in stream.notes)


# ---- pulses
@st.composite
def pulses(draw: st.DrawFn, session: Session) -> tuple[str, NDArray[np.int64]]:
    """A trigger line of classes with what electronics do to it."""
    short = settling(session.sfreq)
    width = draw(st.integers(4 * short, max(4 * short, int(0.09 * session.sfreq))))
    line = session.line(session.labels, width)
    fault = draw(
        st.sampled_from(["none", "skew", "fall", "drop-out", "glitch", "long", "held", "separated", "one sample"])
    )
    skew = draw(st.integers(1, short))
    rng = np.random.default_rng(session.seed)
    some = session.onsets[rng.random(len(session.onsets)) < 0.5]
    if fault == "skew":
        for onset in some:
            line[onset : onset + skew] = 3 - line[onset]
    elif fault == "fall":
        for onset in some:
            line[onset + width : onset + width + skew] = 3 - line[onset]
    elif fault == "drop-out":
        for onset in some:
            at = onset + rng.integers(1, width - skew)
            line[at : at + skew] = 0
    elif fault == "glitch":
        for onset in some[:3]:
            line[onset + width + 2 * short : onset + width + 3 * short] = 1
    elif fault == "long":
        line = session.line(session.labels, int(0.11 * session.sfreq))
    elif fault == "one sample":
        line = session.line(session.labels, 1)
    elif fault in ("held", "separated"):
        for onset, code in zip(session.onsets, session.labels, strict=True):
            line[onset:] = code
        if fault == "separated":
            line[session.onsets - 1] = 0
    return fault, line


@given(st.data(), sessions, st.sampled_from(sorted(LINES)))
@generated
def test_pulses_give_one_flash_each_or_are_refused(data: st.DataObject, session: Session, name: str) -> None:
    fault, line = data.draw(pulses(session))
    try:
        stream = opened(LINES[name], name, session, line)
    except RecordingError as refusal:
        assert fault == "held", refusal
        assert refusal.code == "unclear_triggers"
    else:
        assert_right(stream, session, tolerance=1)
        assert fault in ("none", "long", "separated", "one sample") or any("stim:" in note for note in stream.notes)


@given(st.data(), sessions, st.sampled_from(["a.parquet", "a.csv"]))
@generated
def test_a_flash_column_tells_flashes_apart_whose_code_stays(data: st.DataObject, session: Session, name: str) -> None:
    line, flash = np.zeros((2, session.n_samples), np.int64)
    late = data.draw(st.integers(0, settling(session.sfreq)))
    for onset, label, group in zip(session.onsets, session.labels, session.groups, strict=True):
        line[onset:], flash[onset + late :] = label, group
    if data.draw(st.booleans()):
        line, flash = session.line(session.labels, 5), session.line(session.groups, 5)
    stream = opened(LINES[name], name, session, line, flash)
    assert_right(stream, session, tolerance=settling(session.sfreq))
    assert stream.flash is not None
    np.testing.assert_array_equal(stream.flash[stream.flash != 0], session.groups)


@given(sessions, st.integers(0, 1000))
@generated
def test_labels_that_change_within_a_group_are_refused(session: Session, seed: int) -> None:
    session = Session(session.sfreq, max(session.n_repetitions, 5), session.seed)
    labels = np.random.default_rng(seed).permutation(session.labels)
    try:
        opened(LINES["a.parquet"], "a.parquet", session, session.line(labels), session.line(session.groups))
    except RecordingError as refusal:
        assert refusal.code == "implausible_events"
    else:
        per_repetition = (labels.reshape(-1, 12) == TARGET).sum(axis=1)
        assert len(set(per_repetition.tolist())) == 1  # as if the symbol changed with each repetition

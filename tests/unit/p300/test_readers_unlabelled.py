"""Recordings of which a sidecar says that nobody knows which flashes were targets: read by their groups, and never by a guess."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.bids.writing import write_recording
from p300.errors import P300Error, RecordingError, TrainingError
from p300.features import FeatureSet, read_features, write_features
from p300.inspection import inspect
from p300.metrics import classification_metrics, roc_auc
from p300.models import RecordingEpochs
from p300.readers import open_recording
from p300.recording import UNLABELLED
from p300.recording_report import report
from p300.reporting import unlabelled as page
from p300.signals import extract

from tests.support import labs
from tests.support.bids import events_tsv, write_bids
from tests.support.gdf import write_gdf
from tests.support.labs import generated
from tests.support.recordings import recording

LAYOUT = {"type": "brain_invaders"}
SAID = {"labelled": False, "layout": LAYOUT}
LABELLED = pq.read_table(io.BytesIO(recording(3)))
CODES = LABELLED["stim"].to_numpy()


def column(table: pa.Table, name: str, values: Any) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, name, pa.array(values.astype(np.int32)))


ONE_CODE = column(LABELLED, "stim", np.sign(CODES))
GROUPS = LABELLED["flash"].to_numpy()
SOME_WITHOUT = column(ONE_CODE, "flash", GROUPS * (np.arange(len(GROUPS)) > len(GROUPS) // 2))
GROUPS_ALONE = LABELLED.drop(["stim"])
GROUPS_IN_STIM = column(LABELLED, "stim", LABELLED["flash"].to_numpy()).drop(["flash"])


def written(folder: Path, table: pa.Table, said: Any = None, name: str = "run.parquet") -> Path:
    path = folder / name
    if name.endswith(".csv"):
        sfreq = (table.schema.metadata or {})[b"sfreq"].decode()
        rows = [
            ",".join(table.column_names),
            *(",".join("" if value is None else str(value) for value in row.values()) for row in table.to_pylist()),
        ]
        path.write_text(f"# sfreq={sfreq}\n" + "\n".join(rows))
    else:
        pq.write_table(table, path)
    if said is not None:
        (folder / "run.p300.json").write_text(json.dumps(said))
    return path


@pytest.mark.parametrize("name", ["run.parquet", "run.csv"])
@pytest.mark.parametrize(
    "table", [ONE_CODE, GROUPS_ALONE, GROUPS_IN_STIM], ids=["one code", "groups alone", "groups in stim"]
)
def test_flashes_are_those_of_the_labelled_recording_without_their_class(
    tmp_path: Path, table: pa.Table, name: str
) -> None:
    found = open_recording(written(tmp_path, table, SAID, name)).flashes
    (tmp_path / "run.p300.json").unlink()
    labelled = open_recording(written(tmp_path, LABELLED)).flashes
    np.testing.assert_array_equal(found.onset_sample, labelled.onset_sample)
    np.testing.assert_array_equal(found.flash, labelled.flash)
    assert set(found.label.tolist()) == {UNLABELLED}
    assert not found.labelled
    assert labelled.labelled


@pytest.mark.parametrize(
    ("table", "said", "code", "says"),
    [
        (LABELLED, SAID, "contradictory_events", "stim tells flashes apart"),
        (LABELLED.drop(["flash"]), SAID, "contradictory_events", "stim tells flashes apart"),
        (ONE_CODE, {"labelled": False}, "bad_sidecar", "states no layout"),
        (ONE_CODE, {**SAID, "event_id": {"1": 1}}, "bad_sidecar", "has event_id"),
        (ONE_CODE, None, "no_targets", '{"labelled": false, "layout": ...}'),
        (GROUPS_ALONE, None, "missing_stim", '{"labelled": false, "layout": ...}'),
        (ONE_CODE, {"labelled": True, "layout": LAYOUT}, "no_targets", "no Target flash"),
        (ONE_CODE.drop(["flash"]), SAID, "bad_sidecar", "1 group flashed"),
        (SOME_WITHOUT, SAID, "bad_flash", "without a group"),
    ],
)  # fmt: skip
def test_it_is_never_a_guess(tmp_path: Path, table: pa.Table, said: Any, code: str, says: str) -> None:
    with pytest.raises(RecordingError) as refusal:
        open_recording(written(tmp_path, table, said))
    assert refusal.value.code == code
    assert says in refusal.value.message


FROM_0 = GROUPS - 1
EMPTY = np.where(GROUPS > 0, GROUPS - 1.0, np.nan)


@pytest.mark.parametrize("name", ["run.parquet", "run.csv"])
@pytest.mark.parametrize("column", ["flash", "stim"])
@pytest.mark.parametrize(
    ("groups", "is_noted"),
    [(FROM_0, True), (EMPTY, True), (np.where(GROUPS > 0, GROUPS, -1), False), (np.r_[[0] * 9, FROM_0[9:]], True)],
    ids=["from 0", "from 0, empty cells", "from 1", "from 0, begins with 0"],
)
def test_groups_alone_may_begin_with_0_where_nothing_is_minus_1(
    tmp_path: Path, groups: Any, is_noted: bool, column: str, name: str
) -> None:
    table = GROUPS_ALONE.drop(["flash"]).append_column(column, pa.array(groups, from_pandas=True))
    found = open_recording(written(tmp_path, table, SAID, name))
    (tmp_path / "run.p300.json").unlink()
    labelled = open_recording(written(tmp_path, LABELLED)).flashes
    np.testing.assert_array_equal(found.flashes.onset_sample, labelled.onset_sample)
    np.testing.assert_array_equal(found.flashes.flash, labelled.flash)
    assert ("groups 0 to 11 in the file, read as 1 to 12" in found.notes) == is_noted


def with_codes(codes: dict[int, int]) -> pa.Table:
    """Return groups in stim, and before the flashes, between or after them other codes, so often each."""
    stim, free = GROUPS.copy(), np.flatnonzero(GROUPS)[5:] - 10
    at = iter(free.tolist())
    for code, n in codes.items():
        for _ in range(n):
            start = next(at)
            stim[start : start + 4] = code
    return column(GROUPS_IN_STIM, "stim", stim)


@given(
    codes=st.dictionaries(st.integers(13, 255), st.integers(1, 6), min_size=1, max_size=3),
    name=st.sampled_from(["run.parquet", "run.csv"]),
)
@generated(10)
def test_codes_that_are_no_flashes_are_left_out_by_the_layout(
    tmp_path_factory: pytest.TempPathFactory, codes: dict[int, int], name: str
) -> None:
    """The start and end of a run are no groups: the layout says so, and they are rare."""
    tmp_path = tmp_path_factory.mktemp("codes")
    found = open_recording(written(tmp_path, with_codes(codes), SAID, name))
    expected = open_recording(written(tmp_path_factory.mktemp("alone"), GROUPS_IN_STIM, SAID))
    np.testing.assert_array_equal(found.flashes.onset_sample, expected.flashes.onset_sample)
    np.testing.assert_array_equal(found.flashes.flash, expected.flashes.flash)
    assert any(note.startswith("stim codes ignored: ") for note in found.notes)


def test_a_code_as_frequent_as_groups_is_not_left_out(tmp_path: Path) -> None:
    with pytest.raises(
        RecordingError, match=r"13 groups flashed .* Leave codes out of stim that are no flashes"
    ) as refusal:
        open_recording(written(tmp_path, with_codes({99: 12}), SAID))
    assert refusal.value.code == "bad_sidecar"


def test_named_events_cannot_be_unlabelled(tmp_path: Path) -> None:
    """Annotations that say the class contradict the sidecar."""
    mne = pytest.importorskip("mne")
    noise = np.random.default_rng(0).normal(0, 5e-6, (4, 6000))
    raw = mne.io.RawArray(noise, mne.create_info(4, 100.0, "eeg"), verbose=False)
    names = ["Target" if k % 6 == 5 else "NonTarget" for k in range(100)]
    raw.set_annotations(mne.Annotations(1 + 0.5 * np.arange(100), 0, names))
    path = tmp_path / "run_raw.fif"
    raw.save(path, verbose=False)
    with pytest.raises(RecordingError) as refusal:
        open_recording(path, sidecar=SAID)
    assert refusal.value.code == "contradictory_events"


NAMED = {group: f"S{group}" for group in range(1, 13)}


def with_names(folder: Path, extension: str, names: dict[int, str]) -> Path:
    """Write a recording whose named events are the groups of its flashes."""
    made = labs.lab()
    made.stim[made.onsets] = np.resize(np.arange(1, 13), len(made.onsets))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labs, "NAMES", names)
        if extension == "gdf":
            codes = (33024 + made.stim[made.onsets]).tolist()
            path = folder / "a.gdf"
            return write_gdf(path, made.uv, made.onsets.tolist(), codes, names=made.names, sfreq=labs.SFREQ)
        if extension == "bids":
            groups = made.stim[made.onsets].tolist()
            return write_bids(folder, made, events=events_tsv(made, names, value=groups, flash=groups))
        return labs.write(folder, made, extension)


@pytest.mark.parametrize("extension", ["vhdr", "set", "xdf", "hdf5", "gdf", "bids"])
@pytest.mark.parametrize("names", [NAMED, dict.fromkeys(NAMED, "flash"), dict.fromkeys(NAMED, "S  1")])
def test_named_events_are_not_asked_for_their_classes(tmp_path: Path, extension: str, names: dict[int, str]) -> None:
    path = with_names(tmp_path, extension, names)
    with pytest.raises(RecordingError, match="cannot give groups alone") as refusal:
        open_recording(path, sidecar={"labelled": False, "layout": LAYOUT})
    assert "event_id" not in refusal.value.message
    assert "Preprocessing" not in refusal.value.message


def features(folder: Path) -> FeatureSet:
    return extract(open_recording(written(folder, ONE_CODE, SAID)))


def test_features_say_so_and_survive_their_file(tmp_path: Path) -> None:
    made = features(tmp_path)
    buffer = io.BytesIO()
    write_features(made, buffer, {})
    again = read_features(buffer)
    assert not again.labelled
    assert again.survey["onset_samples"] == made.survey["onset_samples"]
    np.testing.assert_array_equal(again.flash, made.flash)
    mixed = made.label.copy()
    mixed[0] = 2
    broken = io.BytesIO()
    write_features(FeatureSet(**{**vars(made), "label": mixed}), broken, {})
    with pytest.raises(P300Error, match="labels other than 1 and 2"):
        read_features(broken)


def test_nothing_tests_or_trains_with_it(tmp_path: Path) -> None:
    made = features(tmp_path)
    with pytest.raises(TrainingError, match="expected 1"):
        RecordingEpochs("a/b", "a", made.X, made.label, len(made.ch_names))
    score = np.linspace(0, 1, len(made.X))
    for metric in (classification_metrics, roc_auc):
        with pytest.raises(P300Error, match="unlabelled"):
            metric(made.label, score)


def test_it_is_no_recording_of_a_bids_data_set(tmp_path: Path) -> None:
    stream = open_recording(written(tmp_path, ONE_CODE, SAID))
    with pytest.raises(RecordingError, match="unlabelled"):
        write_recording(tmp_path / "bids", {"sub": "01", "task": "p300"}, stream, "subject_01/run")
    assert not (tmp_path / "bids").exists()


def test_the_report_says_what_it_is(tmp_path: Path) -> None:
    made = features(tmp_path)
    facts = report(made)
    assert (facts["labelled"], facts["n_target"], facts["n_non_target"], facts["erp_peak"]) == (False, None, None, None)
    html = page.render("subject_01/run", {**facts, "raw_key": "k", "raw_etag": "e"}, made)
    assert "nobody says which flashes were targets" in html
    assert page.draw(made, "subject_01/run").startswith(b"\x89PNG")


def test_inspection_counts_its_flashes(tmp_path: Path) -> None:
    usable = inspect(written(tmp_path, ONE_CODE, SAID)).usable
    assert usable is not None
    assert (usable.n_target, usable.n_unlabelled, usable.n_groups) == (0, 144, 12)

"""Features survive their file, and the report says what they hold."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300.errors import ArtifactError
from p300.features import DIGEST, FeatureSet, read_features, write_features
from p300.readers import read_recording
from p300.recording_report import report
from p300.signals import extract
from p300.synth import write_subjects
from p300_pipeline.feature_store import find_features, load_features
from p300_pipeline.storage import Store

from tests.support.buckets import FEATURES
from tests.support.features import make_features


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_subjects(tmp_path_factory.mktemp("synthetic"), [1], n_repetitions=20)[0]


def test_features_survive_their_file(synthetic: Path) -> None:
    features = extract(read_recording(synthetic))
    buffer = io.BytesIO()
    write_features(features, buffer, {"raw_key": "subject_01/a.parquet", "raw_etag": "abc"})
    buffer.seek(0)
    back = read_features(buffer)
    np.testing.assert_array_equal(back.X, features.X)
    for column in ("label", "onset_sample", "flash", "repetition"):
        np.testing.assert_array_equal(getattr(back, column), getattr(features, column))
        assert getattr(back, column).dtype == getattr(features, column).dtype
    assert back.provenance == {"raw_key": "subject_01/a.parquet", "raw_etag": "abc"}
    for attribute in ("ch_names", "sfreq", "tmin", "tmax", "parameters", "rejection", "notes"):
        assert getattr(back, attribute) == getattr(features, attribute)
    assert report(back) == report(features)


def test_features_are_read_without_a_copy(synthetic: Path, tmp_path: Path) -> None:
    write_features(extract(read_recording(synthetic)), tmp_path / "features.parquet", {})
    X = read_features(tmp_path / "features.parquet").X
    assert not X.flags.writeable  # a view of arrow's immutable buffer
    assert X.dtype == np.float32


def test_report_finds_the_p300(synthetic: Path) -> None:
    figures = report(extract(read_recording(synthetic)))
    assert 0.25 < figures["erp_peak"]["latency_s"] < 0.5
    assert figures["erp_peak"]["amplitude_uv"] > 2
    assert figures["n_kept"] == figures["n_target"] + figures["n_non_target"] <= figures["n_flashes"] == 240
    assert "synthetic recording: simulated, not measured" in figures["notes"]


def test_a_file_that_is_no_feature_file_is_refused(synthetic: Path) -> None:
    with pytest.raises(ArtifactError, match=r"lacks .*features") as raised:
        read_features(synthetic)
    assert raised.value.code == "not_features"
    with pytest.raises(ArtifactError, match="not a readable feature file"):
        read_features(io.BytesIO(b"PAR1 and then nothing"))


# ---- damage
NAME = "s3://bucket/subject_01/run/features.parquet"
SMALL = make_features(n_epochs=12)


def written(features: FeatureSet) -> bytes:
    buffer = io.BytesIO()
    write_features(features, buffer, {"raw_etag": "abc"})
    return buffer.getvalue()


WHOLE = written(SMALL)


def same(left: FeatureSet, right: FeatureSet) -> bool:
    pairs = [(getattr(left, f.name), getattr(right, f.name)) for f in dataclasses.fields(FeatureSet)]
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


@given(st.integers(0, 8 * len(WHOLE) - 1))
@settings(max_examples=400, deadline=None)
def test_a_flipped_bit_is_noticed_or_changes_nothing(bit: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        back = read_features(io.BytesIO(damaged), name=NAME)
    except ArtifactError as error:
        assert NAME in error.message
        assert "p300 backfill" in error.message
    else:
        assert same(back, read_features(io.BytesIO(WHOLE)))


def test_a_damaged_number_is_refused_by_the_digest() -> None:
    X = SMALL.X.copy()
    X[3, 7] += 1e-6
    table = pq.read_table(io.BytesIO(written(dataclasses.replace(SMALL, X=X))))
    stated = pq.read_schema(io.BytesIO(WHOLE)).metadata
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(stated), buffer)
    with pytest.raises(
        ArtifactError, match=r"damaged or changed.*Delete the object and run `p300 backfill`"
    ) as refused:
        read_features(buffer, name=NAME)
    assert refused.value.code == "damaged_features"
    assert read_features(buffer, verify=False).X[3, 7] == X[3, 7]


def test_files_of_before_there_was_a_digest_are_read() -> None:
    table = pq.read_table(io.BytesIO(WHOLE))
    metadata = {key: value for key, value in table.schema.metadata.items() if key.decode() != DIGEST}
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), buffer)
    assert same(read_features(buffer), dataclasses.replace(SMALL, provenance={"raw_etag": "abc"}))


@pytest.mark.parametrize(
    ("value", "names"),
    [(np.nan, "NaN"), (-np.inf, "infinity"), (1e33, "1e[+]33 V"), (0.02, "0.02 V.*unit")],
)
def test_numbers_that_are_no_volts_are_refused(value: float, names: str) -> None:
    X = SMALL.X.copy()
    X[2, 1] = value
    with pytest.raises(ArtifactError, match=names) as refused:
        read_features(io.BytesIO(written(dataclasses.replace(SMALL, X=X))), name=NAME)
    assert (refused.value.code, NAME in refused.value.message) == ("implausible_features", True)


@pytest.mark.parametrize("factor", [1e6, 1e3, 1e-6, 0.0])
def test_another_unit_is_refused(factor: float) -> None:
    scaled = dataclasses.replace(SMALL, X=(SMALL.X * factor).astype(np.float32))
    with pytest.raises(ArtifactError, match="expected the largest between") as refused:
        read_features(io.BytesIO(written(scaled)))
    assert refused.value.code == "implausible_features"


def test_without_rejection_what_an_amplifier_can_pass_is_plausible() -> None:
    loose = dataclasses.replace(SMALL.parameters, reject_peak_to_peak_uv=None)
    X = SMALL.X.copy()
    X[2, 1] = 0.9
    assert read_features(io.BytesIO(written(dataclasses.replace(SMALL, X=X, parameters=loose)))).X[2, 1] > 0.8


def test_a_window_that_the_parameters_do_not_make_is_refused() -> None:
    wider = dataclasses.replace(SMALL.parameters, tmax=0.2)
    with pytest.raises(ArtifactError, match="10 samples an epoch at 100 Hz"):
        read_features(io.BytesIO(written(dataclasses.replace(SMALL, parameters=wider))))


# ---- in the bucket
def test_features_are_found_by_recording_and_nothing_else_is(store: Store, put_features: Any) -> None:
    put_features("subject_01/run")
    for key in (
        "subject_01/features.parquet",
        "subject_01/a/b/features.parquet",
        "subject_01/run/erp.png",
        "backfill/x",
    ):
        store.put(FEATURES, key, b"")
    assert list(find_features(store, FEATURES)) == ["subject_01/run"]


def test_loading_names_the_object(store: Store, put_features: Any) -> None:
    name = f"s3://{FEATURES}/subject_01/run/features.parquet"
    with pytest.raises(ArtifactError, match=name) as refused:
        load_features(store, FEATURES, "subject_01/run")
    assert refused.value.code == "no_features"
    put_features("subject_01/run")
    assert len(load_features(store, FEATURES, "subject_01/run").X) == 60
    with pytest.raises(ArtifactError, match=name) as refused:
        load_features(store, FEATURES, "subject_01/run", etag="another")
    assert refused.value.code == "changed_features"
    store.put(FEATURES, "subject_01/run/features.parquet", b"PAR1 no")
    with pytest.raises(ArtifactError, match=name) as refused:
        load_features(store, FEATURES, "subject_01/run")
    assert refused.value.code == "not_features"

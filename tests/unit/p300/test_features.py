"""Features survive their file, and the report says what they hold."""

import io
from pathlib import Path

import numpy as np
import pytest
from p300.errors import ArtifactError
from p300.features import read_features, report, write_features
from p300.readers import read_recording
from p300.signals import extract
from p300.synth import write_subjects


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

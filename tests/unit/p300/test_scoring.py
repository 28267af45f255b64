"""The numpy-only scorer gives the estimators' probabilities and refuses whatever is not a model."""

import io
import subprocess
import sys

import numpy as np
import pytest
from p300 import models
from p300.errors import ArtifactError, RequestError
from p300.scoring import Scorer


def fitted(kind):
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((300, 3 * 20)) * 1e-5).astype(np.float32)
    y = np.where(rng.random(300) < 0.2, 2, 1)
    X[y == 2, 8:15] += 1e-5
    groups = np.repeat(["subject_01/a", "subject_02/a", "subject_03/a"], 100)
    return models.make(kind, n_channels=3, n_times=20).fit(X, y, groups), X


def npz(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize("kind", models.KINDS)
def test_probabilities_are_the_estimators(kind, tmp_path):
    model, X = fitted(kind)
    (tmp_path / "model.npz").write_bytes(npz(model.to_arrays()))
    scorer = Scorer.load(tmp_path / "model.npz")
    expected = model.predict_proba(X)[:, 1]
    np.testing.assert_allclose(scorer.probability_target(X), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(scorer.probability_target(X[:1]), expected[:1], rtol=0, atol=1e-6)
    assert scorer.probability_target(X).dtype == np.float64
    assert (scorer.kind, scorer.n_channels, scorer.n_times) == (kind, 3, 20)
    assert scorer.prior_target == pytest.approx(model.prior_target_)


@pytest.mark.parametrize("kind", models.KINDS)
def test_log_odds_are_those_of_the_probability(kind):
    model, X = fitted(kind)
    scorer = Scorer.from_arrays(model.to_arrays())
    p = scorer.probability_target(X)
    np.testing.assert_allclose(scorer.log_odds(X), np.log(p / (1 - p)), rtol=1e-6, atol=1e-9)


def test_an_extreme_epoch_does_not_overflow():
    model, X = fitted("lda")
    with np.errstate(all="raise"):
        p = Scorer.from_arrays(model.to_arrays()).probability_target(np.float32(1e3) * np.sign(X[:2]))
    assert ((p >= 0) & (p <= 1)).all()


@pytest.mark.parametrize("shape", [(60,), (1, 59), (1, 61), (1, 1, 60)])
def test_epochs_of_another_length_are_refused(shape):
    model, _ = fitted("lda")
    with pytest.raises(RequestError, match=r"expects \(n_epochs, 60\)"):
        Scorer.from_arrays(model.to_arrays()).probability_target(np.zeros(shape, np.float32))


@pytest.mark.parametrize("kind", models.KINDS)
def test_every_array_is_needed_in_its_shape(kind):
    arrays = fitted(kind)[0].to_arrays()
    for name, array in arrays.items():
        with pytest.raises(ArtifactError, match=name):
            Scorer.from_arrays({key: value for key, value in arrays.items() if key != name})
        with pytest.raises(ArtifactError, match=f"{name}.*shape"):
            Scorer.from_arrays({**arrays, name: np.stack([array, array])})
        with pytest.raises(ArtifactError, match=name):
            Scorer.from_arrays({**arrays, name: np.empty(array.shape, object)})
        if array.dtype.kind == "f":
            with pytest.raises(ArtifactError, match=f"{name}.*NaN"):
                Scorer.from_arrays({**arrays, name: np.full_like(array, np.nan)})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("format_version", 3, "format version 3; this code reads 1 to 2"),
        ("format_version", 0, "format version 0"),
        ("kind", "svm", "kind 'svm'"),
        ("prior_target", 1.5, "1.5 targets"),
        ("n_channels", 0, "0 channels"),
        ("calibration", [1.0, 0.0, 0.6, 0.0], "floor of 0.6"),
        ("recording_calibration", [1.0, 0.0, 0.0, -0.1], "ceiling of -0.1"),
    ],
)
def test_values_out_of_range_are_refused(name, value, message):
    with pytest.raises(ArtifactError, match=message):
        Scorer.from_arrays({**fitted("lda")[0].to_arrays(), name: np.array(value)})


@pytest.mark.parametrize("kind", models.KINDS)
def test_models_of_format_1_score_as_they_did(kind):
    """They have no floor, no ceiling, and of the ensemble an adaptation to recordings that is no longer applied."""
    model, X = fitted(kind)
    arrays = {name: array for name, array in model.to_arrays().items() if not name.startswith("response_")}
    for name in ("calibration", "recording_calibration"):
        arrays[name] = arrays[name][:2]
    old = Scorer.from_arrays(arrays | {"format_version": np.array(1)})
    slope, intercept = arrays["calibration"]
    np.testing.assert_allclose(old.log_odds(X), slope * old.score(X) + intercept, rtol=1e-9)
    np.testing.assert_array_equal(old.score(X), Scorer.from_arrays(model.to_arrays()).score(X))
    if kind == "ensemble":
        np.testing.assert_array_equal(old.log_odds(X, adapt=True), old.log_odds(X))
    assert old.response is None


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"absent\.npz cannot be read"):
        Scorer.load(tmp_path / "absent.npz")


def test_truncated_or_altered_files_are_refused():
    content = npz(fitted("lda")[0].to_arrays())
    for broken in (b"", b"not a model", content[: len(content) // 2], content[:200] + b"\xff\xff" + content[202:]):
        with pytest.raises(ArtifactError):
            Scorer.load(broken)


def test_pickled_objects_are_never_loaded():
    with pytest.raises(ArtifactError, match="plain arrays"):
        Scorer.load(npz({"kind": np.array([{"a": 1}], dtype=object)}))


def test_a_single_array_is_not_a_model():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    with pytest.raises(ArtifactError, match="not an npz"):
        Scorer.load(file.getvalue())


def test_scoring_imports_neither_scipy_nor_scikit_learn():
    code = "import sys, p300.scoring; print(*({'scipy', 'sklearn', 'pyriemann'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")

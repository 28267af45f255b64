"""Fitted estimators as pipelines that load where this package is not installed, and predict the same."""

import pickle
import subprocess
import sys
import sysconfig

import joblib
import numpy as np
import pytest
from p300 import models
from p300.models import RecordingEpochs
from p300.models.calibration import Calibration
from p300.models.cross_validation import cross_validate
from p300.models.portable import to_pipeline
from p300.scoring import Scorer
from pyriemann.estimation import XdawnCovariances
from pyriemann.tangentspace import TangentSpace
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer, StandardScaler

N_CHANNELS, N_TIMES = 6, 32
LOAD = """
import importlib.util, sys
from pathlib import Path
sys.path.append(sys.argv[1])  # site-packages without the links to this project
assert importlib.util.find_spec("p300") is None
import joblib, numpy as np
folder = Path(sys.argv[2])
for file in folder.glob("*.joblib"):
    np.save(file.with_suffix(".npy"), joblib.load(file).predict_proba(np.load(folder / "X.npy")))
assert not [name for name in sys.modules if name.startswith("p300")]
"""


def recording(subject):
    rng = np.random.default_rng(subject)
    y = np.where(rng.permutation(180) % 6 == 0, 2, 1)
    epochs = rng.standard_normal((180, N_CHANNELS, N_TIMES)) * 1e-5
    epochs[y == 2, :, 14:22] += 4e-6
    epochs = (np.eye(N_CHANNELS) + 0.4 * rng.standard_normal((N_CHANNELS, N_CHANNELS))) @ epochs
    name = f"subject_{subject}"
    return RecordingEpochs(name, name, epochs.reshape(180, -1).astype(np.float32), y, N_CHANNELS)


def fitted(kind, align, bounds=(0.0, 0.0)):
    """A model as training leaves it: calibrated on people left out."""
    people = [recording(subject) for subject in range(3)]
    model = models.make(kind, align=align).fit_recordings(people)
    model.calibrate(cross_validate(model, people, lambda one: one.subject))
    model.calibration_ = Calibration(model.calibration_.slope, model.calibration_.intercept, *bounds)
    return model


@pytest.fixture(scope="module", params=[(kind, align) for kind in models.KINDS for align in (False, True)], ids=str)
def model(request):
    return fitted(*request.param)


@pytest.fixture(scope="module")
def new():
    return recording(9)


def test_it_predicts_the_same(model, new):
    pipeline = to_pipeline(model)
    assert model.calibration_.slope != 1
    expected = model.predict_proba(new.X)
    for X in (new.X, new.epochs, new.X.astype(np.float64)):
        np.testing.assert_allclose(pipeline.predict_proba(X), expected, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(pipeline.predict(X), model.predict(X))
    served = Scorer(model.to_arrays()).probability_target(new.X)
    np.testing.assert_allclose(pipeline.predict_proba(new.X)[:, 1], served, rtol=0, atol=1e-9)


def test_its_decision_function_is_the_same(model, new):
    expected = model.decision_function(new.X)
    np.testing.assert_allclose(to_pipeline(model).decision_function(new.X), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bounds", [(0.02, 0.1), (0.0, 0.1), (0.02, 0.0)])
@pytest.mark.parametrize("kind", models.KINDS)
def test_probabilities_have_the_same_floor_and_ceiling(kind, bounds, new):
    model = fitted(kind, None, bounds)
    pipeline = to_pipeline(model)
    X = np.concatenate([new.X, -30 * new.X])
    expected = model.predict_proba(X)
    assert expected[:, 1].min() >= bounds[0] - 1e-12
    np.testing.assert_allclose(pipeline.predict_proba(X), expected, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(pipeline.predict(X), model.predict(X))


def test_it_loads_where_this_package_is_not_installed(new, tmp_path):
    trained = {kind: fitted(kind, None, (0.02, 0.1)) for kind in models.KINDS}
    np.save(tmp_path / "X.npy", new.X)
    for kind, model in trained.items():
        joblib.dump(to_pipeline(model), tmp_path / f"{kind}.joblib")
    command = [sys.executable, "-I", "-S", "-c", LOAD, sysconfig.get_path("purelib"), tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for kind, model in trained.items():
        found = np.load(tmp_path / f"{kind}.npy")
        np.testing.assert_allclose(found, model.predict_proba(new.X), rtol=0, atol=1e-9, err_msg=kind)


def test_it_holds_nothing_of_this_package(model):
    assert b"p300" not in pickle.dumps(to_pipeline(model))


def steps(pipeline):
    return [(name, type(step)) for name, step in pipeline.steps]


def test_its_parts_are_named():
    assert steps(to_pipeline(fitted("lda", None))) == [
        ("float64", FunctionTransformer),
        ("flat", FunctionTransformer),
        ("lda", LinearDiscriminantAnalysis),
    ]
    assert steps(to_pipeline(fitted("ridge", None)))[-1] == ("ridge", LogisticRegression)
    assert steps(to_pipeline(fitted("xdawn_ts", None))) == [
        ("float64", FunctionTransformer),
        ("epochs", FunctionTransformer),
        ("covariances", XdawnCovariances),
        ("tangent", TangentSpace),
        ("scaler", StandardScaler),
        ("regression", LogisticRegression),
    ]
    assert [name for name, _ in to_pipeline(fitted("ensemble", None)).steps] == [
        "float64",
        "epochs",
        "features",
        "mean",
    ]


@pytest.mark.parametrize(("kind", "atol"), [("lda", 1e-6), ("xdawn_ts", 1e-5)])
def test_a_clone_fits_the_same_kind_of_model(kind, atol, new):
    people = [recording(subject) for subject in range(3)]
    X, y = (np.concatenate([getattr(one, name) for one in people]) for name in ("epochs", "y"))
    ours = models.make(kind, align=False).fit(X, y)
    again = clone(to_pipeline(ours)).fit(X, y)
    np.testing.assert_allclose(again.predict_proba(new.X), ours.predict_proba(new.X), rtol=0, atol=atol)


def test_labels_are_those_of_the_fit(new):
    y = np.array(["NonTarget", "Target"])[new.y - 1]
    for kind in models.KINDS:
        model = models.make(kind).fit(new.epochs, y)
        np.testing.assert_array_equal(to_pipeline(model).predict(new.X), model.predict(new.X))
        assert list(to_pipeline(model).classes_) == ["NonTarget", "Target"]


def test_another_kind_is_refused(new):
    from p300.models.base import Estimator

    class Odd(Estimator):
        kind = "odd"

        def _fit(self, recordings):
            self._begin((N_CHANNELS, N_TIMES))

        def leave_out(self, recordings, fold_of):
            raise NotImplementedError

        def _arrays(self):
            return {}

    with pytest.raises(TypeError, match="Odd has no equal"):
        to_pipeline(Odd().fit_recordings([new]))

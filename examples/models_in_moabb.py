"""The models inside MOABB, beside a plain scikit-learn pipeline. ``make examples`` runs this; so does any environment with MOABB.

The data set is MOABB's fake one: noise without a response, so an AUC near 0.5 is the right answer. Replace it by a real one, such as
`moabb.datasets.BI2014a()`, and nothing else changes.

MOABB does not pass recordings (``groups``) to a fit, so each fit takes all its epochs for one recording, and every epoch is scored
on its own: `models_in_scikit_learn.py` shows what recordings add.
"""

import sys
import tempfile

import moabb
import pandas as pd
from mne.decoding import Vectorizer
from moabb.datasets.fake import FakeDataset
from moabb.evaluations import CrossSubjectEvaluation, WithinSessionEvaluation
from moabb.paradigms import P300
from p300.models import LDA, Ensemble, Ridge, XdawnTangentSpace
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

PIPELINES = {
    "lda": LDA(),
    "ridge": Ridge(),
    "xdawn_ts": XdawnTangentSpace(),
    "ensemble": Ensemble(),
    "scikit-learn's lda": make_pipeline(
        Vectorizer(), StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    ),
}


def evaluate() -> pd.DataFrame:
    """Return the mean ROC AUC of each pipeline, a row for each evaluation."""
    data = FakeDataset(("NonTarget", "Target"), n_subjects=3, n_sessions=1, n_runs=1, paradigm="p300", seed=1)
    paradigm = P300(tmin=0, tmax=0.8, resample=64)
    means = {}
    with tempfile.TemporaryDirectory() as folder:
        for evaluation in (WithinSessionEvaluation, CrossSubjectEvaluation):
            runner = evaluation(paradigm=paradigm, datasets=[data], hdf5_path=folder, error_score="raise")
            scores = runner.process({name: make_pipeline(pipeline) for name, pipeline in PIPELINES.items()})
            means[evaluation.__name__] = scores.groupby("pipeline")["score"].mean()
    return pd.DataFrame(means).T[list(PIPELINES)]


if __name__ == "__main__":
    moabb.set_log_level("warning")
    evaluate().to_csv(sys.stdout, float_format="%.6f", index_label="evaluation")

"""The models as scikit-learn's: cross-validation, model selection, recordings as metadata, and what training leaves behind.

``make examples`` runs this on five synthetic subjects, and so does ``python examples/models_in_scikit_learn.py``.
"""

import tempfile
from pathlib import Path

import joblib
import numpy as np
import sklearn
from p300.models import LDA, Ensemble, XdawnTangentSpace
from p300.models.portable import to_pipeline
from p300.readers import open_recording
from p300.signals import extract
from p300.synth import write_subjects
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold, LeaveOneGroupOut, cross_val_score


def load(folder):
    """Return epochs in volts (n_epochs, n_channels, n_times), labels 1 and 2, and the recording of each epoch."""
    epochs, labels, recordings = [], [], []
    for path in write_subjects(folder, range(1, 6), n_repetitions=24):
        features = extract(open_recording(path))
        epochs.append(features.X.reshape(len(features.X), len(features.ch_names), -1))
        labels.append(features.label)
        recordings += [path.stem] * len(features.label)
    return np.concatenate(epochs), np.concatenate(labels), np.array(recordings)


def main():
    """Show each in turn."""
    with tempfile.TemporaryDirectory() as folder:
        X, y, recordings = load(folder)
        print(f"{len(X)} epochs of {X.shape[1]} channels x {X.shape[2]} samples, {np.mean(y == 2):.2f} targets")

        # Each recording left out in turn: here one recording is one subject.
        for model in (LDA(), XdawnTangentSpace(align=False)):
            aucs = cross_val_score(model, X, y, groups=recordings, cv=LeaveOneGroupOut(), scoring="roc_auc")
            print(f"{model.kind}: AUC {aucs.mean():.3f} on left-out subjects")

        # Parameters are chosen as of any estimator.
        search = GridSearchCV(LDA(), {"align": [False, True]}, cv=GroupKFold(3), scoring="roc_auc")
        print(f"best of a grid: {search.fit(X, y, groups=recordings).best_params_}")

        # Which recording an epoch comes from is metadata: a fit that asks for it aligns each recording.
        with sklearn.config_context(enable_metadata_routing=True):
            model = LDA(align=True).set_fit_request(groups=True)
            how = {"cv": LeaveOneGroupOut(), "scoring": "roc_auc", "params": {"groups": recordings}}
            aucs = cross_val_score(model, X, y, **how)
        print(f"lda, aligned: AUC {aucs.mean():.3f} on left-out subjects")

        # A prediction that is told the recording adapts to it, without labels.
        alone, adapted = [], []
        for train, test in LeaveOneGroupOut().split(X, y, recordings):
            fitted = Ensemble().fit(X[train], y[train], groups=recordings[train])
            alone.append(roc_auc_score(y[test], fitted.decision_function(X[test])))
            adapted.append(roc_auc_score(y[test], fitted.decision_function(X[test], groups=recordings[test])))
        print(f"ensemble, each epoch on its own: AUC {np.mean(alone):.3f} on left-out subjects")
        print(f"ensemble, adapted to each recording: AUC {np.mean(adapted):.3f} on left-out subjects")

        # What training writes as model.joblib: parts of scikit-learn and pyRiemann, which load without this project.
        joblib.dump(to_pipeline(fitted), Path(folder) / "model.joblib")
        loaded = joblib.load(Path(folder) / "model.joblib")
        difference = np.abs(loaded.predict_proba(X) - fitted.predict_proba(X)).max()
        print(f"{' -> '.join(name for name, _ in loaded.steps)}: the same probabilities within {difference:.0e}")


if __name__ == "__main__":
    main()

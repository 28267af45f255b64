"""The default model on real recordings: what it is the default for."""

import numpy as np
import pytest
from p300 import models
from p300.models import RecordingEpochs
from p300.models.cross_validation import cross_validate
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from tests.support.real_data import recordings

pytestmark = pytest.mark.real_data


def load(data_set):
    from p300.readers import open_recording
    from p300.signals import extract

    found = []
    for path in recordings(data_set):
        features = extract(open_recording(path))
        found.append(RecordingEpochs(path.stem, path.parent.name, features.X, features.label, len(features.ch_names)))
    return found


def test_people_left_out():
    people = load("bnci_2015_003")

    def aucs(kind):
        model = models.make(kind, n_channels=8, n_times=people[0].n_times)
        folds = cross_validate(model, people, lambda r: r.subject).folds.values()
        alone = [roc_auc_score(p.y == 2, p.alone) for p in folds]
        within = [roc_auc_score(p.y == 2, p.within_recording) for p in folds]
        return np.array(alone), np.array(within)

    plain, _ = aucs("lda")
    alone, within = aucs(models.DEFAULT_KIND)
    assert within.mean() >= 0.80
    assert (within > plain - 0.02).all()
    # Epoch by epoch, with nothing to adapt to, it must still be worth its cost.
    assert alone.mean() > plain.mean() + 0.005
    assert (alone > plain - 0.02).all()


def test_one_person_in_five_folds():
    (recording,) = load("brain_invaders_2012")
    aucs = []
    for training, test in StratifiedKFold(5, shuffle=True, random_state=0).split(recording.X, recording.y):
        model = models.make(models.DEFAULT_KIND, n_channels=recording.n_channels, n_times=recording.n_times)
        model.fit(recording.X[training], recording.y[training])
        aucs.append(roc_auc_score(recording.y[test] == 2, model.predict_proba(recording.X[test])[:, 1]))
    assert np.mean(aucs) >= 0.90

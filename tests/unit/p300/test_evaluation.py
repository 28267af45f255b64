"""Figures against scikit-learn's, and what each part of a report says."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300 import evaluation_parts, models
from p300.errors import TrainingError
from p300.evaluation import evaluate, train
from p300.learning_curve import learning_curve
from p300.metrics import N_CURVE_POINTS, calibration_curve, classification_metrics, curves, roc_auc
from p300.models import RecordingEpochs, data, prepared
from p300.models.cross_validation import cross_validate
from p300.models.draw import neighbours
from sklearn import metrics


def recording(subject, run=1, *, n=180, effect_uv=8.0, n_channels=2, n_times=20):
    """Noise of 10 uV; the bump's latency is the subject's own."""
    rng = np.random.default_rng([subject, run])
    X = rng.standard_normal((n, n_channels, n_times)) * 1e-5
    y = np.where(np.arange(n) % 6 == 5, 2, 1)
    start = 8 + subject % 3
    X[y == 2, :, start : start + 5] += effect_uv * 1e-6
    name = f"subject_{subject:02d}"
    return RecordingEpochs(f"{name}/run_{run}", name, X.reshape(n, -1).astype(np.float32), y, n_channels)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=60))
@settings(max_examples=200, deadline=None)
def test_metrics_are_scikit_learns(pairs):
    truth = np.array([t for t, _ in pairs])
    p = np.array([v / 8 for _, v in pairs])
    ours = classification_metrics(np.where(truth, 2, 1), p)
    predicted = p >= 0.5
    assert ours["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert ours["brier"] == pytest.approx(np.mean((p - truth) ** 2))
    assert ours["confusion_matrix"] == metrics.confusion_matrix(truth, predicted, labels=[False, True]).tolist()
    if ours["kappa"] is not None:
        assert ours["kappa"] == pytest.approx(metrics.cohen_kappa_score(truth, predicted))
    if truth.all() or not truth.any():
        assert ours["roc_auc"] is None
        assert ours["average_precision"] is None
        assert ours["balanced_accuracy"] is None
    else:
        assert ours["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, p))
        assert ours["average_precision"] == pytest.approx(metrics.average_precision_score(truth, p))
        assert ours["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), min_size=2, max_size=300))
@settings(max_examples=100, deadline=None)
def test_curves_lie_on_scikit_learns(pairs):
    truth = np.array([t for t, _ in pairs])
    p = np.array([v / 40 for _, v in pairs])
    found = curves(np.where(truth, 2, 1), p)
    if truth.all() or not truth.any():
        assert found["roc"] == found["precision_recall"] == []
        return
    rates = metrics.roc_curve(truth, p, drop_intermediate=False)[:2]
    points = {(round(x, 5), round(y, 5)) for x, y in zip(*rates, strict=True)}
    roc = [tuple(point.values()) for point in found["roc"]]
    assert set(roc) <= points
    assert (roc[0], roc[-1]) == ((0, 0), (1, 1))
    assert roc == sorted(roc)
    precision, recall, _ = metrics.precision_recall_curve(truth, p)
    points = {(round(x, 5), round(y, 5)) for x, y in zip(recall, precision, strict=True)}
    assert {tuple(point.values()) for point in found["precision_recall"]} <= points
    assert found["precision_recall"][-1]["recall"] == 1
    assert max(len(points) for points in found.values()) <= N_CURVE_POINTS + 1


def test_a_curve_of_few_points_has_the_area_of_the_whole():
    rng = np.random.default_rng(0)
    y = np.where(rng.random(5000) < 0.2, 2, 1)
    p = 1 / (1 + np.exp(-rng.normal(np.where(y == 2, 0.5, -0.5))))
    roc = np.array([list(point.values()) for point in curves(y, p)["roc"]])
    assert np.trapezoid(roc[:, 1], roc[:, 0]) == pytest.approx(classification_metrics(y, p)["roc_auc"], abs=0.005)


@pytest.fixture(scope="module")
def report():
    return evaluate([recording(s) for s in (1, 2, 3, 4)], "lda", seed=3)


def test_every_subject_is_left_out_once(report):
    loso = report["leave_one_subject_out"]
    assert sorted(loso["subjects"]) == ["subject_01", "subject_02", "subject_03", "subject_04"]
    assert all(m["n_epochs"] == 180 for m in loso["subjects"].values())
    aucs = [m["roc_auc"] for m in loso["subjects"].values()]
    assert loso["mean"]["roc_auc"] == pytest.approx(np.mean(aucs))
    assert loso["sd"]["roc_auc"] == pytest.approx(np.std(aucs, ddof=1))
    assert min(aucs) > 0.8
    assert report["within_subject_blocks"] is None


def test_the_random_split_holds_a_fifth_of_each_class(report):
    split = report["pooled_random_split_optimistic"]
    assert split["n_epochs"] == 4 * 36
    assert split["n_targets"] == 4 * 6


def test_reports_are_json_and_reproducible(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert evaluate([recording(s) for s in (1, 2, 3, 4)], "lda", seed=3) == report
    other = evaluate([recording(s) for s in (1, 2, 3, 4)], "lda", seed=4)
    assert other["leave_one_subject_out"] == report["leave_one_subject_out"]
    assert other["pooled_random_split_optimistic"] != report["pooled_random_split_optimistic"]


def test_one_subject_alone_gets_blocks_and_is_told_so():
    report = evaluate([recording(1, run) for run in (1, 2)], "lda")
    assert report["leave_one_subject_out"] is None
    assert sorted(report["within_subject_blocks"]["blocks"]) == [f"block_{k}" for k in range(1, 6)]
    assert report["within_subject_blocks"]["mean"]["roc_auc"] > 0.8
    assert "subject_01" in report["note"]
    assert report["learning_curve"] == []


def test_a_left_out_subject_does_not_reach_its_own_model():
    # The fifth subject's labels are inverted: its own AUC must fall below chance, which a leak would lift.
    inverted = recording(5)
    flipped = RecordingEpochs(inverted.recording, inverted.subject, inverted.X, 3 - inverted.y, 2)
    subjects = evaluate([recording(s) for s in (1, 2, 3, 4)] + [flipped], "lda")["leave_one_subject_out"]["subjects"]
    assert subjects["subject_05"]["roc_auc"] < 0.3


def test_the_learning_curve_ends_at_leave_one_subject_out_and_knows_the_reference(report):
    sizes = [point["n_subjects"] for point in report["learning_curve"]]
    assert sizes == [1, 2, 3]
    last = report["learning_curve"][-1]
    loso = report["leave_one_subject_out_single_epochs"]
    assert (last["roc_auc"], last["sd"]) == (loso["mean"]["roc_auc"], loso["sd"]["roc_auc"])
    # The model is the reference itself.
    assert report["reference_lda"]["mean"]["roc_auc"] == last["reference_roc_auc"] == last["roc_auc"]


def test_another_kind_is_compared_with_the_plain_lda(report):
    other = evaluate([recording(s) for s in (1, 2, 3, 4)], "ridge", seed=3)
    assert other["reference_lda"] == report["leave_one_subject_out_single_epochs"]
    assert [p["reference_roc_auc"] for p in other["learning_curve"]] == [p["roc_auc"] for p in report["learning_curve"]]
    assert [p["roc_auc"] for p in other["learning_curve"]] != [p["roc_auc"] for p in report["learning_curve"]]


def test_the_learning_curve_is_of_people_left_out_and_grows_on_the_same_order(monkeypatch):
    from p300.models.linear import LDA

    fits: list[list[str]] = []
    tested: list[list[str]] = []
    people = [recording(s, run, n=60) for s in range(1, 11) for run in (1, 2)]
    owner = {id(r.X): r.subject for r in people}
    fit, score = LDA._fit, LDA.decision_function

    def spy_fit(self, recordings):
        fits.append(sorted({r.subject for r in recordings}))
        self.trained_on = fits[-1]
        fit(self, recordings)

    def spy_score(self, X, groups=None):
        tested.append([owner[id(X)], *self.trained_on])
        return score(self, X, groups)

    monkeypatch.setattr(LDA, "_fit", spy_fit)
    monkeypatch.setattr(LDA, "decision_function", spy_score)
    subjects = sorted({r.subject for r in people})
    curve = learning_curve([models.make("lda", n_channels=2, n_times=20)], people, subjects)
    assert list(curve) == [1, 2, 4, 8]
    assert all(sorted(aucs) == subjects for (aucs,) in curve.values())
    assert all(one not in trained for one, *trained in tested)
    assert [len(trained) for trained in fits] == [1, 2, 4, 8] * 5
    assert all(set(small) < set(large) for small, large in pairwise(fits) if len(small) < len(large))
    assert np.mean(list(curve[8][0].values())) > np.mean(list(curve[1][0].values()))


def test_people_who_have_too_much_to_be_held_are_read_again(monkeypatch):
    people = [recording(s, run, n=60) for s in range(1, 6) for run in (1, 2)]
    subjects = sorted({r.subject for r in people})
    lda = models.make("lda", n_channels=2, n_times=20)
    held = learning_curve([lda], people, subjects)
    monkeypatch.setattr(data, "HELD_BYTES", 1)
    assert learning_curve([lda], people, subjects) == held
    assert data.Held(people, subjects)._held is None


def test_each_left_out_recording_has_a_figure_of_its_own():
    people = [recording(s, run, n=60 + 12 * s) for s in (1, 2, 3) for run in (1, 2)]
    report = evaluate([people[0], *people[2:], people[1]], "ensemble")  # one person's need not come together
    assert set(report["left_out_recordings"]) == {r.recording for r in people}
    model = models.make("ensemble", n_channels=2, n_times=20)
    for _, rest, left_out in model.leave_out(people, lambda r: r.subject):
        for one in left_out:
            score = rest.decision_function(one.X, np.full(len(one.y), "one"))
            assert report["left_out_recordings"][one.recording] == pytest.approx(roc_auc(one.y, score), abs=0.01)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=30), st.integers(2, 40))
def test_folds_of_people_who_are_read_one_after_another_are_about_equal(sizes, n_folds):
    folds = [int(fold) for fold in neighbours({str(n): size for n, size in enumerate(sizes)}, n_folds).values()]
    assert folds == sorted(folds)
    assert set(folds) == set(range(max(folds) + 1))
    assert 2 <= len(set(folds)) <= n_folds
    if n_folds >= len(sizes):
        assert len(set(folds)) == len(sizes)
    for fold in set(folds) - {max(folds)}:
        held = [size for size, own in zip(sizes, folds, strict=True) if own == fold]
        assert len(held) == 1 or sum(held) <= 1.5 * sum(sizes) / min(n_folds, len(sizes)) + max(held)


def test_more_subjects_than_folds_are_left_out_in_groups_and_the_report_says_so(monkeypatch):
    people = [recording(s, run) for s in range(1, 11) for run in ((1, 2) if s == 3 else (1,))]
    one_by_one = evaluate(people, "lda")
    assert one_by_one["folds"] == {"n": 10, "largest": 1}
    assert one_by_one["note"] == ""
    monkeypatch.setattr(evaluation_parts, "MOST_FOLDS", 4)
    monkeypatch.setattr(evaluation_parts, "MOST_SUBJECTS_OF_A_PART", 6)
    for kind in ("lda", "ensemble"):
        report = evaluate(people, kind)
        assert report["folds"]["n"] == 4
        assert "10 subjects were left out in 4 groups of up to 3" in report["note"]
        assert set(report["leave_one_subject_out"]["subjects"]) == {f"subject_{s:02d}" for s in range(1, 11)}
        assert set(report["left_out_recordings"]) == {one.recording for one in people}
        assert report["learning_curve"][-1]["n_subjects"] == 7
        assert report["fit"] == {"n_epochs": 11 * 180, "subjects_of_parts": 6}
        assert report["reference_lda"]["mean"]["roc_auc"] > 0.8
    # A group's subjects are scored by a model that saw none of them.
    flipped = [replace(one, y=3 - one.y) if one.subject in ("subject_01", "subject_02") else one for one in people]
    subjects = evaluate(flipped, "lda")["leave_one_subject_out"]["subjects"]
    assert max(subjects[name]["roc_auc"] for name in ("subject_01", "subject_02")) < 0.3


def test_a_fit_on_drawn_epochs_is_said_in_the_report(monkeypatch):
    monkeypatch.setattr(prepared, "MOST_FITTED_EPOCHS", 300)
    report = evaluate([recording(s) for s in (1, 2, 3)], "xdawn_ts", seed=5)
    assert report["fit"]["n_epochs"] == 300
    assert report["note"] == ("The model is fitted on 300 of 540 epochs, as many of each subject, drawn with seed 5.")


def test_what_cannot_be_fitted_is_refused_by_one_message():
    flat = [replace(recording(s), X=np.zeros((180, 40), np.float32)) for s in (1, 2, 3)]
    with pytest.raises(
        TrainingError, match="ensemble cannot be fitted on these 3 recordings with 540 epochs"
    ) as refused:
        train(flat, "ensemble")
    assert refused.value.code == "cannot_fit"


def test_no_recordings_are_refused():
    with pytest.raises(TrainingError, match="no recordings"):
        evaluate([], "lda")


def test_mixed_montages_are_refused_by_name():
    with pytest.raises(TrainingError, match=r"subject_01/run_1: 2 channels.*subject_02/run_1: 3 channels"):
        evaluate([recording(1), recording(2, n_channels=3)], "lda")


def test_training_calibrates_on_left_out_people_and_evaluates_as_evaluate_does(report):
    people = [recording(s) for s in (1, 2, 3, 4)]
    model, trained = train(people, "lda", seed=3)
    assert trained == report
    plain = models.make("lda", n_channels=2, n_times=20).fit_recordings(people)
    X = recording(9).X
    np.testing.assert_allclose(model._uncalibrated(X), plain._uncalibrated(X))
    left_out = cross_validate(plain, people, lambda r: r.subject)
    assert model.calibration_ == left_out.calibration
    expected = left_out.calibration.probability(plain._uncalibrated(X))
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], expected)


def test_probabilities_of_left_out_people_are_calibrated():
    people = [recording(s, n=900, effect_uv=3.0) for s in range(1, 9)]
    curve = evaluate(people, "lda")["calibration_curve"]
    assert sum(b["n_epochs"] for b in curve) == 8 * 900
    assert [b["predicted"] for b in curve] == sorted(b["predicted"] for b in curve)
    # 720 epochs a bin: three standard errors of a proportion are at most 0.056.
    assert all(abs(b["predicted"] - b["observed"]) < 0.056 for b in curve)


def test_the_curve_shows_overconfidence():
    y = np.where(np.random.default_rng(0).random(1000) < 0.5, 2, 1)
    low, *_, high = calibration_curve(y, np.linspace(0, 1, 1000))
    assert low["observed"] > low["predicted"] + 0.3
    assert high["observed"] < high["predicted"] - 0.3


def test_shuffled_labels_come_out_at_chance():
    people = [recording(s, n=600) for s in (1, 2, 3, 4)]
    auc = evaluate(people, "lda")["label_shuffled_control"]["roc_auc"]
    # 400 targets, 2000 non-targets: the standard error at chance is 0.016.
    assert abs(auc - 0.5) < 0.05


def test_first_recording_predicts_the_others_of_its_subject():
    people = [recording(1, 1), recording(1, 2), recording(1, 3), recording(2, 1), recording(3, 1), recording(3, 2)]
    later = evaluate(people, "lda")["train_first_test_rest"]["subjects"]
    assert {name: m["n_epochs"] for name, m in later.items()} == {"subject_01": 360, "subject_03": 180}
    assert min(m["roc_auc"] for m in later.values()) > 0.8


@pytest.mark.parametrize("kind", models.KINDS)
def test_short_recordings_cost_side_figures_not_the_report(kind):
    short = [recording(subject, run, n=12) for subject in (1, 2, 3, 4) for run in (1, 2)]
    one_target = [r.take(np.arange(6)) if r.recording.endswith("1") else r for r in short]
    report = evaluate(one_target, kind)
    assert report["train_first_test_rest"] is None
    assert report["leave_one_subject_out"]["subjects"]["subject_01"]["n_targets"] == 3


def test_recordings_too_short_to_split_are_not_split():
    short = [recording(subject, n=12) for subject in (1, 2, 3, 4)]
    tiny = [r.take(np.array([0, 1, 5, 11])) for r in short]
    assert evaluate(tiny, "lda")["pooled_random_split_optimistic"] is None


def test_without_several_recordings_there_is_no_later_one(report):
    assert report["train_first_test_rest"] is None


@pytest.mark.parametrize("kind", models.KINDS)
def test_every_kind_is_evaluated(kind):
    report = evaluate([recording(s) for s in (1, 2, 3)], kind)
    assert report["leave_one_subject_out"]["mean"]["roc_auc"] > 0.75
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    adapts = kind in ("xdawn_ts", "ensemble")
    assert (report["leave_one_subject_out"] != report["leave_one_subject_out_single_epochs"]) == adapts

"""The test against chance: its p-values are those of permutations, and noise is at chance as often as it should be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300 import chance, models
from p300.chance import ALPHA, CROSS_VALIDATION_VARIANCE, FEWEST_FOR_NORMAL, against_chance, in_words, shuffled_interval
from p300.evaluation import chance_within_recording, evaluate, within_recording
from p300.evaluation_parts import N_BLOCKS
from p300.metrics import roc_auc
from p300.models import RecordingEpochs
from p300.models.data import blocks

TOLERANCE = 0.01
"""Between the normal approximation and permutations, beside what so many permutations differ by chance."""


def scored(rng, n, n_targets, effect=0.0, decimals=None):
    y = np.ones(n, int)
    y[rng.permutation(n)[:n_targets]] = 2
    score = rng.standard_normal(n) + effect * (y == 2)
    return y, score if decimals is None else np.round(score, decimals)


def noise(rng, subject, n):
    """Two of twelve flashes are targets, as in a speller, and nothing tells them apart."""
    y = np.ones(n, int)
    for start in range(0, n, 12):
        y[start + rng.permutation(min(12, n - start))[:2]] = 2
    X = rng.standard_normal((n, 4, 20)) * 1e-5
    return RecordingEpochs(f"{subject}/run", subject, X.reshape(n, -1).astype(np.float32), y, 4)


@given(
    seed=st.integers(0, 10_000),
    n_recordings=st.integers(1, 8),
    share=st.sampled_from((2, 4, 6, 12)),
    effect=st.floats(0, 0.4),
    decimals=st.sampled_from((None, 3)),
)
@settings(max_examples=40, deadline=None)
def test_the_normal_approximation_gives_the_p_value_of_permutations(seed, n_recordings, share, effect, decimals):
    rng = np.random.default_rng(seed)
    n_targets = -(-FEWEST_FOR_NORMAL // n_recordings)
    recordings = [scored(rng, share * n_targets, n_targets, effect, decimals) for _ in range(n_recordings)]
    approximate = against_chance(recordings)
    assert approximate["n_permutations"] is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chance, "FEWEST_FOR_NORMAL", 10**9)
        permuted = against_chance(recordings, seed)
    assert permuted["n_permutations"] >= 1000
    p = permuted["p_value"]
    by_chance = 4 * np.sqrt(p * (1 - p) / permuted["n_permutations"])
    assert approximate["p_value"] == pytest.approx(p, abs=TOLERANCE + by_chance)


def test_few_epochs_and_many_ties_are_permuted():
    rng = np.random.default_rng(1)
    assert against_chance([scored(rng, 60, 10)])["n_permutations"] == chance.N_PERMUTATIONS
    assert against_chance([scored(rng, 600, 100, decimals=0)])["n_permutations"] == chance.N_PERMUTATIONS


def test_a_perfect_score_of_few_epochs_is_above_chance_and_a_reversed_one_is_not():
    y = np.repeat([1, 2], [20, 5])
    found = against_chance([(y, y.astype(float))])
    assert (found["roc_auc"], found["at_chance"]) == (1, False)
    assert found["p_value"] == against_chance([(y, y.astype(float))])["p_value"]
    found = against_chance([(y, -y.astype(float))])
    assert (found["roc_auc"], found["at_chance"]) == (0, True)


def test_scores_that_are_all_the_same_are_at_chance():
    found = against_chance([(np.repeat([1, 2], [200, 60]), np.zeros(260))])
    assert (found["roc_auc"], found["p_value"], found["at_chance"]) == (0.5, 1, True)


def test_labels_are_shuffled_within_recordings():
    # Scores that tell recordings apart, of which one has more targets, and nothing else.
    rng = np.random.default_rng(2)
    many, few = scored(rng, 200, 100), scored(rng, 200, 20)
    assert against_chance([(many[0], many[1] + 10), few])["at_chance"]


def test_recordings_of_one_class_show_nothing():
    assert against_chance([(np.ones(9, int), np.arange(9.0))]) == {
        "roc_auc": None,
        "p_value": None,
        "at_chance": True,
        "n_permutations": None,
    }


def test_noise_is_said_to_be_above_chance_no_more_often_than_the_level():
    # Blocks are scored by the difference of means of the other blocks. As if blocks were independent it would be in 11 % of cases.
    rng = np.random.default_rng(3)
    n, wrong = 1000, 0
    for _ in range(n):
        X = rng.standard_normal((5, 24, 12))
        y = np.array([rng.permutation(np.repeat([1, 2], [12, 12])) for _ in range(5)])
        targets, others = (
            np.array([one[own == code].mean(axis=0) for one, own in zip(X, y, strict=True)]) for code in (2, 1)
        )
        means = targets - others
        scores = [X[k] @ (means.sum(axis=0) - means[k]) for k in range(5)]
        wrong += not against_chance(zip(y, scores, strict=True))["at_chance"]
    assert wrong / n <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / n)


def test_scores_are_tested_as_the_model_gives_them():
    # A calibration fitted on the other blocks turns scores of noise around, whose AUC then is above 0.5 far too often.
    recording = noise(np.random.default_rng(5), "s", 120)
    model = models.make("lda", n_channels=4, n_times=20)
    aucs = [
        roc_auc(block.y, trained._uncalibrated(block.X))
        for _, trained, (block,) in model.leave_out(blocks([recording], N_BLOCKS), lambda block: block.subject)
    ]
    chance = within_recording(recording)["chance"]
    assert chance["roc_auc"] == pytest.approx(np.mean([auc or 0.0 for auc in aucs]))
    assert chance_within_recording(recording) == pytest.approx(chance)


@pytest.mark.parametrize("n_subjects", [1, 4])
def test_an_evaluation_says_whether_the_model_is_at_chance(n_subjects):
    rng = np.random.default_rng(4)
    people = [noise(rng, f"subject_{k}", 180) for k in range(n_subjects)]
    assert evaluate(people, "lda")["chance"]["at_chance"]
    for person in people:
        person.X[person.y == 2, 5:9] += 1e-5
    found = evaluate(people, "lda")["chance"]
    assert not found["at_chance"]
    assert found["p_value"] < 0.01


@pytest.mark.parametrize(
    ("p_value", "words"),
    [
        (0.342, "at chance (p = 0.34)"),
        (0.051, "at chance (p = 0.051)"),
        (0.012, "above chance (p = 0.012)"),
        (1e-9, "above chance (p < 0.001)"),
        (None, "at chance (not testable)"),
    ],
)
def test_words(p_value, words):
    assert in_words({"p_value": p_value, "at_chance": p_value is None or p_value >= ALPHA}) == words


@pytest.mark.parametrize(("n", "n_targets", "tolerance"), [(600, 100, 0.006), (60, 10, 0.03)])
def test_the_interval_holds_aucs_of_shuffled_labels(n, n_targets, tolerance):
    rng = np.random.default_rng(3)
    recordings = [scored(rng, n, n_targets, effect=1.0) for _ in range(3)]
    shuffled = [np.mean([roc_auc(rng.permutation(y), score) for y, score in recordings]) for _ in range(2000)]
    expected = 0.5 + np.sqrt(CROSS_VALIDATION_VARIANCE) * (np.quantile(shuffled, [0.025, 0.975]) - 0.5)
    assert shuffled_interval(recordings) == pytest.approx(expected, abs=tolerance)
    assert shuffled_interval([(np.ones(5, int), np.arange(5.0))]) is None

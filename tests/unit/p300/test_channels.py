"""Channels go by name wherever recordings or a model meet: another order is put in order, another set is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from p300.channels import match, plain
from p300.errors import P300Error, TrainingError
from p300.evaluation import evaluate
from p300.models import RecordingEpochs
from p300.montages import fitted

from tests.support.features import make_features

NAMES = ["Fp1", "Fz", "Cz", "Pz", "Oz", "O2"]
SPELLINGS = (str, str.upper, str.lower, lambda name: f"EEG {name}", lambda name: f" {name}")


@given(st.permutations(NAMES), st.lists(st.sampled_from(SPELLINGS), min_size=6, max_size=6))
def test_any_order_and_spelling_is_matched(names, spellings):
    spelled = [spell(name) for name, spell in zip(names, spellings, strict=True)]
    order = match(spelled, NAMES)
    assert [plain(spelled[i]) for i in order] == [plain(name) for name in NAMES]


@given(st.lists(st.sampled_from([*NAMES, "CPz", "EEG Fz"]), max_size=8))
def test_anything_but_the_same_set_is_refused(names):
    if sorted(map(plain, names)) == sorted(map(plain, NAMES)):
        assert sorted(match(names, NAMES)) == list(range(6))
        return
    with pytest.raises(P300Error) as raised:
        match(names, NAMES)
    assert raised.value.code == "wrong_channels"


def test_the_message_says_what_differs():
    with pytest.raises(
        P300Error, match=r"s/r has channels Fz, EOG; expected Fz, Cz, in any order: Cz missing; EOG not expected"
    ):
        match(["Fz", "EOG"], ["Fz", "Cz"], "s/r")


def test_features_are_put_in_order():
    features = make_features(channels=NAMES)
    permuted = fitted(features, ["O2", "Oz", "Pz", "Cz", "Fz", "Fp1"])
    np.testing.assert_array_equal(permuted.epochs, features.epochs[:, ::-1])
    assert permuted.ch_names == ("O2", "Oz", "Pz", "Cz", "Fz", "Fp1")
    np.testing.assert_array_equal(fitted(permuted, NAMES).X, features.X)
    assert fitted(features, NAMES) is features


def recordings(order=None, names=NAMES):
    """Three people, the last of them with channels in another order, or other ones."""
    made = [make_features(channels=NAMES, seed=seed) for seed in range(3)]
    if order:
        made[2] = fitted(made[2], order)
    return [
        RecordingEpochs(
            f"subject_{i}/r",
            f"subject_{i}",
            one.X,
            one.label,
            6,
            ch_names=tuple(names) if i == 2 and not order else one.ch_names,
        )
        for i, one in enumerate(made)
    ]


@pytest.mark.parametrize("kind", ["lda", "ensemble"])
def test_models_are_evaluated_on_channels_by_name(kind):
    assert evaluate(recordings([*NAMES[3:], *NAMES[:3]]), kind) == evaluate(recordings(), kind)


def test_recordings_of_other_channels_are_not_learned_together():
    with pytest.raises(
        TrainingError, match=r"subject_2/r has channels .* CPz not expected\. Train on recordings of one"
    ) as raised:
        evaluate(recordings(names=[*NAMES[:5], "CPz"]), "lda")
    assert raised.value.code == "mixed_channels"

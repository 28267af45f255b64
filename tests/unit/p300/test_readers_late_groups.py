"""A flash column at other times than the stim column: each flash is read once, and no flash gets another one's group."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from p300.errors import RecordingError
from p300.readers.declared import Declared
from p300.readers.events import Stimulation, from_codes

from tests.support.labs import generated

N_REPETITIONS = 25
N_FLASHES = 12 * N_REPETITIONS


def groups_of(seed: int) -> NDArray[np.int32]:
    """Groups of which none follows itself: with a column that stays, such two could not be told apart."""
    rng = np.random.default_rng(seed)
    groups = [rng.permutation(12) + 1]
    while len(groups) < N_REPETITIONS:
        following = rng.permutation(12) + 1
        if following[0] != groups[-1][-1]:
            groups.append(following)
    return np.concatenate(groups).astype(np.int32)


def held(onset: NDArray[np.int_], values: NDArray[np.integer], width: int, n_samples: int) -> NDArray[np.int32]:
    """A column in which each value stays for so many samples, or until the next."""
    column = np.zeros(n_samples, np.int32)
    for begin, end, value in zip(onset, np.r_[onset[1:], n_samples], values, strict=True):
        column[begin : min(begin + width, end)] = value
    return column


def read(
    sfreq: int, stim_width: int, lag: int, flash_width: int, seed: int = 0, labelled: bool = True
) -> tuple[Stimulation, NDArray[np.int_], NDArray[np.int32]]:
    step, groups = round(0.175 * sfreq), groups_of(seed)
    onset = 2 * sfreq + step * np.arange(N_FLASHES)
    n_samples = int(onset[-1]) + 2 * sfreq
    labels = np.where(np.isin(groups, (3, 9)), 2, 1) if labelled else np.ones(N_FLASHES, int)
    stim = held(onset, labels, stim_width, n_samples)
    flash = held(onset + lag, groups, flash_width, n_samples)
    return from_codes(stim, "a", sfreq, Declared(labelled=labelled), groups=flash), onset, groups


@generated(usually=150)
@given(
    sfreq=st.sampled_from([128, 256, 500]),
    stim_width=st.sampled_from([0.0, 0.2, 0.55, 0.9]),
    flash_width=st.sampled_from([0.0, 0.2, 0.55, 1.0]),
    late=st.floats(0, 0.45),
    seed=st.integers(0, 99),
)
def test_a_late_column_doubles_no_flash_and_moves_no_group(
    sfreq: int, stim_width: float, flash_width: float, late: float, seed: int
) -> None:
    """Widths and lag as a share of the time from flash to flash, which a column that is no longer than that returns to 0 within."""
    step = 0.175 * sfreq
    lag = round(late * step)
    found, onset, groups = read(sfreq, 1 + round(stim_width * step), lag, 1 + round(flash_width * step), seed)
    np.testing.assert_array_equal(np.flatnonzero(found.stim), onset)
    if lag <= max(1, int(0.004 * sfreq)):
        assert found.flash is not None
        np.testing.assert_array_equal(found.flash[onset], groups)
    else:
        assert found.flash is None
        assert any(f"They begin {lag} samples after stim rises" in note for note in found.notes)


@pytest.mark.parametrize("lag", [5, 7, 20])
def test_a_late_column_beside_a_code_that_stays_is_refused_with_the_cause(lag: int) -> None:
    """Only a column at the same rows can tell equal classes in a row apart."""
    with pytest.raises(RecordingError, match=f"nearest begins {lag} samples before or after stim rises") as refusal:
        read(256, 99, lag, 10)
    assert refusal.value.code == "unclear_triggers"


@pytest.mark.parametrize("lead", [1, 5, 15])
@pytest.mark.parametrize("stim_width", [1, 25])
def test_a_column_that_stays_and_is_early_has_the_groups(stim_width: int, lead: int) -> None:
    found, onset, groups = read(256, stim_width, -lead, 99)
    np.testing.assert_array_equal(np.flatnonzero(found.stim), onset)
    assert found.flash is not None
    np.testing.assert_array_equal(found.flash[onset], groups)


def test_an_early_column_beside_a_code_that_stays_doubles_no_flash() -> None:
    with pytest.raises(RecordingError) as refusal:
        read(256, 99, -7, 99)
    assert refusal.value.code == "unclear_triggers"


@pytest.mark.parametrize("flash_width", [1, 25, 99])
@pytest.mark.parametrize("stim_width", [1, 25])
def test_an_unlabelled_recording_is_refused_with_the_cause(stim_width: int, flash_width: int) -> None:
    with pytest.raises(RecordingError, match="They begin 7 samples after stim rises") as refusal:
        read(256, stim_width, 7, flash_width, labelled=False)
    assert refusal.value.code == "bad_flash"


def test_a_flash_whose_group_is_late_has_none() -> None:
    """One of many: it is read once, and not with the group before."""
    step, groups = 45, groups_of(0)
    onset = 512 + step * np.arange(N_FLASHES)
    stim = held(onset, np.where(np.isin(groups, (3, 9)), 2, 1), 25, int(onset[-1]) + 512)
    begins = onset.copy()
    begins[77] += 9
    found = from_codes(stim, "a", 256, Declared(), groups=held(begins, groups, 99, len(stim)))
    np.testing.assert_array_equal(np.flatnonzero(found.stim), onset)
    assert found.flash is not None
    np.testing.assert_array_equal(found.flash[onset], np.where(np.arange(N_FLASHES) == 77, 0, groups))
    assert any("1 of 300 flashes without a group" in note for note in found.notes)

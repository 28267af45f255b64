"""Montages by name: their groups, and how channels are selected and interpolated."""

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p300.electrodes import DIRECTIONS
from p300.errors import P300Error
from p300.montages import are_close, fit, group_of, leaders, missing, name_of, why_not_interpolated
from p300.synth import CHANNELS

BNCI = ("Fz", "Cz", "P3", "Pz", "P4", "PO7", "PO8", "Oz")
RNG = np.random.default_rng(1)


def epochs_of(n_channels: int) -> np.ndarray:
    return RNG.normal(size=(3, n_channels, 7)).astype(np.float32)


def test_name_depends_on_the_channels_alone() -> None:
    assert name_of(BNCI) == name_of(reversed([f"EEG {name.upper()}" for name in BNCI]))
    assert name_of(BNCI).startswith("8ch-")
    assert name_of(BNCI) != name_of(CHANNELS[:8])


def test_selects_channels_in_any_order_and_among_others() -> None:
    epochs = epochs_of(len(CHANNELS))
    chosen = fit(CHANNELS, ("pz", "CZ", "Oz"))
    assert chosen.interpolated == ()
    np.testing.assert_array_equal(chosen(epochs), epochs[:, [CHANNELS.index(name) for name in ("Pz", "Cz", "Oz")]])


@settings(max_examples=20, deadline=None)
@given(st.permutations(CHANNELS), st.integers(1, 4))
def test_interpolates_up_to_a_quarter_as_mne_does(order: list[str], n_missing: int) -> None:
    lacking = order[:n_missing]
    montage = mne.channels.make_standard_montage("colin27_1005")
    everywhere = mne.create_info(montage.ch_names, 1.0, "eeg").set_montage(montage, verbose="error")
    _, centre, _ = mne.bem.fit_sphere_to_headshape(everywhere, dig_kinds=("eeg",), units="m", verbose="error")
    info = mne.create_info(list(CHANNELS), 1.0, "eeg").set_montage(montage, verbose="error")
    info["bads"] = lacking
    epochs = epochs_of(len(CHANNELS)).astype(np.float64)
    evoked = mne.EvokedArray(epochs[0], info, verbose="error").interpolate_bads(origin=centre, verbose="error")
    present = [name for name in order if name not in lacking]
    ours = fit(present, CHANNELS)(epochs[:1, [CHANNELS.index(name) for name in present]])
    assert set(fit(present, CHANNELS).interpolated) == set(lacking)
    np.testing.assert_allclose(ours[0], evoked.get_data(), atol=2e-3)


def test_refuses_to_interpolate_more_than_a_quarter() -> None:
    with pytest.raises(P300Error, match="missing, more than the quarter of 16"):
        fit(CHANNELS[:11], CHANNELS)
    assert not why_not_interpolated(CHANNELS[:12], CHANNELS)


def test_refuses_to_interpolate_what_has_no_known_position() -> None:
    wanted = ("Fz", "Cz", "Pz", "Oz", "ear")
    with pytest.raises(P300Error, match="position of ear is unknown"):
        fit(wanted[:4], wanted)


def test_refuses_a_channel_that_occurs_twice() -> None:
    with pytest.raises(P300Error, match="channel twice"):
        fit(("Cz", "CZ"), ("Cz",))


def test_groups_are_led_by_those_that_exist_then_by_the_largest() -> None:
    fewer, other = CHANNELS[:13], CHANNELS[3:]
    found = leaders([fewer, BNCI, CHANNELS, other])
    assert found == [CHANNELS, BNCI]
    assert [group_of(own, found) for own in (fewer, other, BNCI[::-1])] == [CHANNELS, CHANNELS, BNCI]
    assert leaders([CHANNELS, BNCI], [fewer]) == [fewer, BNCI]
    assert group_of(("C3", "C4"), found) == ("C3", "C4")


def test_a_recording_among_many_more_channels_is_of_another_group() -> None:
    many = tuple(DIRECTIONS)[:64]
    assert not are_close(many[:32], many)
    assert missing(many, many[:32]) == []


def test_directions_are_of_length_one() -> None:
    np.testing.assert_allclose(np.linalg.norm(list(DIRECTIONS.values()), axis=1), 1, atol=2e-4)

"""Whether a recording holds a P300: where targets differ from non-targets, how well single flashes tell, signal to noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p300.chance import in_words
from p300.errors import TrainingError
from p300.evaluation import within_recording
from p300.evaluation_parts import N_BLOCKS
from p300.features import VOLTS_TO_UV, FeatureSet
from p300.models import RecordingEpochs
from p300.recording import TARGET
from p300.reporting.clusters import N_PERMUTATIONS, SEED, Cluster, cluster_test
from p300.reporting.component import PEAK_FROM_S, SITES, positive_peak
from p300.reporting.positions import neighbours
from p300.text import n_of

ALPHA = 0.05
EARLIEST_S = 0.2
"""A P300 does not peak earlier: Polich (2007), Clin. Neurophysiol. 118:2128-2148, doi:10.1016/j.clinph.2007.04.019."""
FEWEST_REFERENCED = 4
"""Channels from which on their average is the reference of the test."""
FEWEST_TARGETS = 40
"""Target epochs without which "no P300" cannot be told from "too few": see docs/reports.md for how often fewer show one that is there."""
FOUND, NOT_FOUND, CANNOT_TELL = "P300 found", "no P300 found", "cannot tell (too few flashes)"
ONLY_TOLD_APART = "targets told apart, no P300 found"
SNR_FORMULA = (
    "(P - N) / N: P is the mean square over channels and times from 0.2 s on of target minus non-target averages, N that of the same "
    "difference of plus-minus averages (Schimmel 1967, Science 157:92-94)"
)


@dataclass(frozen=True)
class Finding:
    """The verdict on a recording, and what it rests on.

    Attributes
    ----------
    facts : dict
        What goes into report.json as ``verdict``; docs/report.schema.json describes it.
    single_flash : dict
        What goes there as ``single_flash``.
    clusters : list of Cluster
        Significant ones, on `FeatureSet.epochs` at full length.
    """

    facts: dict[str, Any]
    single_flash: dict[str, Any]
    clusters: list[Cluster]


def judge(feature_set: FeatureSet, recording: str) -> Finding:
    """Say whether a recording holds a P300.

    It does where a cluster permutation test finds that responses to targets and non-targets differ from `EARLIEST_S` on, and single flashes
    are told apart better than with shuffled labels. Both must hold at a level of 0.05. Where they do not, and fewer than `FEWEST_TARGETS`
    target epochs were kept, nothing can be said. The test takes the average of the channels as reference: noise of the electrode that a
    recording was referenced to is in all channels, and hides what is in some of them. A difference is a P300 only where it has a positive
    peak as `p300.reporting.component` finds it.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of the recording.
    recording : str
        ``<subject>/<recording>``.

    Returns
    -------
    Finding
    """
    single = single_flash(feature_set, recording)
    clusters = significant_clusters(feature_set)
    p300 = next((known for one in clusters if (known := _p300_facts(one, feature_set))), None)
    n_targets = int((feature_set.label == TARGET).sum())
    told_apart = single["chance"] is not None and not single["chance"]["at_chance"]
    found: bool | None = p300 is not None and told_apart
    if not found and (n_targets < FEWEST_TARGETS or single["chance"] is None):
        found = None
    facts: dict[str, Any] = {
        "found": found,
        "words": {True: FOUND, False: ONLY_TOLD_APART if told_apart else NOT_FOUND, None: CANNOT_TELL}[found],
        "n_target": n_targets,
        "n_non_target": len(feature_set.label) - n_targets,
        "clusters": [cluster_facts(one, feature_set) for one in clusters],
        "p300": p300,
        "n_permutations": N_PERMUTATIONS,
        "seed": SEED,
        "reference": "average" if len(feature_set.ch_names) >= FEWEST_REFERENCED else "as recorded",
        "snr": signal_to_noise(feature_set),
    }
    facts["sentence"] = _sentence(facts, single, told_apart=told_apart)
    return Finding(facts, single, clusters)


def significant_clusters(feature_set: FeatureSet) -> list[Cluster]:
    """Return the clusters, from `EARLIEST_S` on, in which the classes differ.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of one recording, in the order of recording.

    Returns
    -------
    clusters : list of Cluster
        Those with p below `ALPHA`, by p-value; labels are shuffled within five blocks of time.
    """
    is_target = feature_set.label == TARGET
    late = times_s(feature_set) >= EARLIEST_S
    if not 0 < is_target.sum() < len(is_target) or len(is_target) < 3 or not late.any():
        return []
    block = np.arange(len(is_target)) * N_BLOCKS // len(is_target)
    _, clusters = cluster_test(
        referenced(feature_set)[:, :, late], is_target, neighbours(feature_set.ch_names), block=block
    )
    before = ((0, 0), (int((~late).sum()), 0))
    return [Cluster(np.pad(one.mask, before), one.mass, one.p_value) for one in clusters if one.p_value < ALPHA]


def single_flash(feature_set: FeatureSet, recording: str) -> dict[str, Any]:
    """Tell how well single flashes of the recording can be told apart.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of the recording.
    recording : str
        ``<subject>/<recording>``.

    Returns
    -------
    dict
        ``roc_auc`` and ``sd`` over blocks of time left out in turn, ``blocks`` (block to AUC), ``chance`` as
        `p300.chance.against_chance` returns, ``shuffled`` (the interval that holds 95 % of AUCs with shuffled labels); or all None, and
        ``why``, where there are too few epochs.
    """
    epochs = RecordingEpochs(
        recording,
        recording.partition("/")[0],
        feature_set.X,
        feature_set.label,
        len(feature_set.ch_names),
        ch_names=feature_set.ch_names,
    )
    try:
        metrics = within_recording(epochs)
    except TrainingError as error:
        return {"roc_auc": None, "sd": None, "blocks": {}, "chance": None, "shuffled": None, "why": error.message}
    return {
        "roc_auc": metrics["mean"]["roc_auc"],
        "sd": metrics["sd"]["roc_auc"],
        "blocks": {name: block["roc_auc"] for name, block in metrics["blocks"].items()},
        "chance": metrics["chance"],
        "shuffled": metrics["shuffled"],
        "why": "",
    }


def signal_to_noise(feature_set: FeatureSet) -> dict[str, Any]:
    """Return the signal-to-noise ratio of the difference wave by plus-minus averaging.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of one recording.

    Returns
    -------
    dict
        ``ratio`` of powers, at least 0; ``db``, None where it is 0; ``formula``. Both None where a class has fewer than two epochs.
    """
    late = times_s(feature_set) >= EARLIEST_S
    averages, plus_minus = [], []
    for is_of_class in (feature_set.label == TARGET, feature_set.label != TARGET):
        epochs = referenced(feature_set)[is_of_class][:, :, late].astype(np.float64) * VOLTS_TO_UV
        epochs = epochs[: len(epochs) // 2 * 2]  # as many are added as are subtracted
        if not epochs.size:
            return {"ratio": None, "db": None, "formula": SNR_FORMULA}
        averages.append(epochs.mean(axis=0))
        plus_minus.append((epochs[::2].sum(axis=0) - epochs[1::2].sum(axis=0)) / len(epochs))
    signal, noise = (float(np.mean((one[0] - one[1]) ** 2)) for one in (averages, plus_minus))
    ratio = max(signal - noise, 0.0) / noise if noise else None
    return {"ratio": ratio, "db": 10 * float(np.log10(ratio)) if ratio else None, "formula": SNR_FORMULA}


def referenced(feature_set: FeatureSet) -> NDArray[np.floating]:
    """Return epochs referenced to the average of their channels, where there are at least `FEWEST_REFERENCED`.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of one recording.

    Returns
    -------
    epochs : ndarray, shape (n_epochs, n_channels, n_times)
        In volts.
    """
    epochs = feature_set.epochs
    return epochs - epochs.mean(axis=1, keepdims=True) if epochs.shape[1] >= FEWEST_REFERENCED else epochs


def difference_uv(feature_set: FeatureSet) -> NDArray[np.float64]:
    """Return the target average minus the non-target average, in the reference of the test.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs of one recording, with both classes.

    Returns
    -------
    difference : ndarray, shape (n_channels, n_times)
        In microvolts.
    """
    is_target = feature_set.label == TARGET
    epochs = referenced(feature_set)
    difference: NDArray[np.float64] = epochs[is_target].mean(axis=0, dtype=np.float64)
    difference -= epochs[~is_target].mean(axis=0, dtype=np.float64)
    return difference * VOLTS_TO_UV


def times_s(feature_set: FeatureSet) -> NDArray[np.float64]:
    """Return the times of an epoch's samples.

    Parameters
    ----------
    feature_set : FeatureSet
        Epochs.

    Returns
    -------
    times : ndarray, shape (n_times,)
        In seconds from the flash.
    """
    times: NDArray[np.float64] = np.round(feature_set.tmin + np.arange(feature_set.n_times) / feature_set.sfreq, 6)
    return times


def cluster_facts(cluster: Cluster, feature_set: FeatureSet) -> dict[str, Any]:
    """Return a cluster as report.json has it.

    Parameters
    ----------
    cluster : Cluster
        On all samples of the epochs.
    feature_set : FeatureSet
        The epochs.

    Returns
    -------
    dict
        ``p_value``, ``mass``, ``start_s`` and ``end_s`` of its first and last sample, its ``channels`` with the ``[start_s, end_s]`` of
        their spans, and its ``peak``: ``channel``, ``latency_s`` and ``amplitude_uv`` of the largest difference.
    """
    times, difference = times_s(feature_set), difference_uv(feature_set)
    inside = np.flatnonzero(cluster.mask.any(axis=0))
    at = np.unravel_index(np.argmax(np.where(cluster.mask, np.abs(difference), -1)), difference.shape)
    return {
        "p_value": cluster.p_value,
        "mass": round(cluster.mass, 2),
        "start_s": float(times[inside[0]]),
        "end_s": float(times[inside[-1]]),
        "channels": {
            name: [[float(times[first]), float(times[last])] for first, last in spans(row)]
            for name, row in zip(feature_set.ch_names, cluster.mask, strict=True)
            if row.any()
        },
        "peak": _peak((int(at[0]), int(at[1])), difference, times, feature_set.ch_names),
    }


def _p300_facts(cluster: Cluster, feature_set: FeatureSet) -> dict[str, Any] | None:
    """Return a cluster whose peak is that of a P300; None of any other."""
    difference, times = difference_uv(feature_set), times_s(feature_set)
    at = positive_peak(cluster.mask, difference, times, feature_set.ch_names)
    if at is None:
        return None
    return {**cluster_facts(cluster, feature_set), "peak": _peak(at, difference, times, feature_set.ch_names)}


def _peak(
    at: tuple[int, int], difference: NDArray[np.float64], times: NDArray[np.float64], ch_names: Sequence[str]
) -> dict[str, Any]:
    channel, sample = at
    return {
        "channel": ch_names[channel],
        "latency_s": float(times[sample]),
        "amplitude_uv": round(float(difference[channel, sample]), 3),
    }


def spans(row: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first and last index of each run of True.

    Parameters
    ----------
    row : ndarray of bool, shape (n,)
        Any.

    Returns
    -------
    spans : list of (int, int)
    """
    steps = np.diff(row.astype(np.int8), prepend=0, append=0)
    return list(zip(np.flatnonzero(steps == 1).tolist(), (np.flatnonzero(steps == -1) - 1).tolist(), strict=True))


def _sentence(facts: Mapping[str, Any], single: Mapping[str, Any], *, told_apart: bool) -> str:
    words, p300 = facts["words"], facts["p300"]
    begin = f"{words[0].upper()}{words[1:]}"
    if facts["found"] is None:
        return (
            f"{begin}: {n_of(facts['n_target'], 'target flash')} and {n_of(facts['n_non_target'], 'non-target flash')} were kept and show "
            f"no P300; expected at least {FEWEST_TARGETS} target flashes before its absence means anything."
        )
    auc = (
        f"single flashes are told apart with an AUC of {single['roc_auc']:.2f} (shuffled labels give {single['shuffled'][0]:.2f} to "
        f"{single['shuffled'][1]:.2f})"
    )
    largest = p300 or next(iter(facts["clusters"]), None)
    if largest is not None:
        peak = largest["peak"]
        difference = (
            f"responses to target and non-target flashes differ from {1000 * largest['start_s']:.0f} to {1000 * largest['end_s']:.0f} ms "
            f"(cluster permutation test, {N_PERMUTATIONS:,} permutations, p = {largest['p_value']:.3f}), most at {peak['channel']} "
            f"({peak['amplitude_uv']:+.1f} µV at {1000 * peak['latency_s']:.0f} ms)"
        )
        if facts["found"]:
            return f"{begin}: {difference}, and {auc}."
        if p300 is None:
            return (
                f"{begin}: {difference}, but what differs is not a P300, which is positive at {SITES} and has its peak from "
                f"{1000 * PEAK_FROM_S:.0f} ms on; {auc}."
            )
        return f"{begin}: {difference}, but {auc}: {in_words(single['chance'])}."
    nothing = (
        f"from {1000 * EARLIEST_S:.0f} ms on, responses to target and non-target flashes do not differ (cluster permutation test, "
        f"{N_PERMUTATIONS:,} permutations)"
    )
    if told_apart:
        return f"{begin}: {nothing}, but {auc}: what tells them apart comes earlier, or is too weak for the test."
    return f"{begin}: {nothing}, and {auc}."

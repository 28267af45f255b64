"""The facts of a recording's ``report.json`` that preprocessing knows."""

from typing import Any

import numpy as np

from p300.features import VOLTS_TO_UV, FeatureSet
from p300.recording import NON_TARGET, TARGET


def report(feature_set: FeatureSet) -> dict[str, Any]:
    """Return the figures of a recording's ``report.json``.

    Parameters
    ----------
    feature_set : FeatureSet
        The recording's epochs.

    Returns
    -------
    dict
        Flashes, kept epochs by class, rejection by channel, bad channels, and the ERP peak: the largest positive value
        of the target minus the non-target average from 200 ms on, in microvolts, with its channel and latency. Of an unlabelled
        recording the counts by class and the peak are None.
    """
    epochs, rejection = feature_set.epochs, feature_set.rejection
    target, non_target = (feature_set.label == code for code in (TARGET, NON_TARGET))
    figures: dict[str, Any] = {
        "n_flashes": rejection.n_flashes,
        "n_outside": rejection.n_outside,
        "n_across_gaps": rejection.n_across_gaps,
        "n_marked_bad": rejection.n_marked_bad,
        "n_kept": rejection.n_kept,
        "labelled": feature_set.labelled,
        "n_target": int(target.sum()) if feature_set.labelled else None,
        "n_non_target": int(non_target.sum()) if feature_set.labelled else None,
        "rejected_by_channel": rejection.by_channel,
        "missing_by_channel": rejection.missing_by_channel,
        "bad_channels": list(rejection.bad_channels),
        "marked_bad_channels": list(rejection.marked_bad_channels),
        "channels": list(feature_set.ch_names),
        "parameters": feature_set.parameters.to_dict(),
        "few_kept": rejection.few_kept,
        "notes": list(feature_set.notes),
        **({"sidecar": dict(feature_set.sidecar)} if feature_set.sidecar else {}),
        **({"bids": dict(feature_set.bids)} if feature_set.bids else {}),
        "recording": recording_facts(feature_set),
        "erp_peak": None,
    }
    if target.any() and non_target.any():
        difference_uv = (epochs[target].mean(axis=0) - epochs[non_target].mean(axis=0)) * VOLTS_TO_UV
        times = feature_set.tmin + np.arange(feature_set.n_times) / feature_set.sfreq
        late = np.flatnonzero(times >= 0.2)  # the P300 does not begin earlier
        if len(late):
            channel, sample = np.unravel_index(np.argmax(difference_uv[:, late]), (len(epochs[0]), len(late)))
            figures["erp_peak"] = {
                "channel": feature_set.ch_names[channel],
                "latency_s": round(float(times[late[sample]]), 4),
                "amplitude_uv": round(float(difference_uv[channel, late[sample]]), 4),
            }
    return figures


def recording_facts(feature_set: FeatureSet) -> dict[str, Any]:
    """Return what is known about the recording itself.

    Parameters
    ----------
    feature_set : FeatureSet
        Made from it.

    Returns
    -------
    dict
        ``sfreq`` in Hz, ``duration_s`` and ``n_samples``; where the file or its sidecar says so, ``recorded``, ``software``, ``device`` and
        ``reference``. Empty of features that were made before this was kept.
    """
    survey = feature_set.survey
    measured = {name: survey[name] for name in ("sfreq", "n_samples", "duration_s") if name in survey}
    said = dict(survey.get("said", {}))
    for stated in (feature_set.bids, feature_set.sidecar):  # the later one overrides
        if "reference" in stated:
            said["reference"] = str(stated["reference"])
    return measured | said

"""Raw epochs at the amplifier's rate, preprocessed with the parameters that the model was trained with."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from p300.errors import P300Error, RequestError
from p300.montages import Fit, fit, key_of, missing, why_not_interpolated
from p300.signals import EpochFeatures, Parameters, features_of_epochs
from p300.signals.epochs import MAX_SFREQ

from p300_pipeline.errors import HttpError

from .cache import Served
from .requests import MAX_CHANNELS, NUMBERS, is_number, short

__all__ = ["LARGEST_UV", "MAX_CHANNELS", "MAX_RAW_EPOCHS", "MAX_SFREQ", "features_of"]

MAX_RAW_EPOCHS = 256
LARGEST_UV = 1e7
"""Ten volts, direct current included: more than the supply of any amplifier's input. Beyond are nanovolts or counts."""


def features_of(request: Mapping[str, Any], served: Served) -> EpochFeatures:
    """Turn the raw epochs of a request into the features that the model takes.

    Parameters
    ----------
    request : mapping
        ``epochs_uv`` (n_epochs x n_channels x n_samples, microvolts), ``sfreq``, ``channels``, and optionally ``tmin`` (of the first
        sample, seconds from the flash) and ``filtered``: see `p300.signals.features_of_epochs`. Channels go by name; those that the
        model does not know are left out, and up to a quarter of its own may be interpolated.
    served : Served
        The model.

    Returns
    -------
    EpochFeatures

    Raises
    ------
    RequestError
        If the epochs cannot become features of this model.
    """
    chosen = _fit(request.get("channels"), served)
    epochs = _epochs(request["epochs_uv"], len(request["channels"]))
    sfreq, tmin, filtered = request.get("sfreq"), request.get("tmin"), request.get("filtered", False)
    if not is_number(sfreq) or not 0 < sfreq < 1e9:
        raise RequestError("bad_sfreq", f"sfreq is {short(sfreq)}; expected the rate of the epochs in Hz.")
    if tmin is not None and (not is_number(tmin) or not -60 <= tmin <= 60):
        raise RequestError(
            "bad_tmin",
            f"tmin is {short(tmin)}; expected the time of the first sample, in seconds from the flash's onset.",
        )
    if not isinstance(filtered, bool):
        raise RequestError("bad_filtered", f"filtered is {short(filtered)}; expected true or false.")
    try:
        return features_of_epochs(chosen(epochs), float(sfreq), _parameters(served), tmin=tmin, filtered=filtered)
    except P300Error as error:
        raise RequestError(error.code, error.message) from error


def _parameters(served: Served) -> Parameters:
    told = served.manifest.get("preprocessing")
    if isinstance(told, dict):
        parameters = Parameters.from_dict(told)
        if parameters.n_times == served.scorer.n_times:
            return parameters
    raise RequestError(
        "no_preprocessing",
        f"Model {served.version} does not say how its features were made; send features instead of epochs_uv, or train again.",
    )


def _fit(channels: Any, served: Served) -> Fit:
    """Return how the request's channels become the model's; Fp1 and FP1 are the same electrode."""
    expected = served.manifest["channels"]
    if not isinstance(channels, list) or not all(isinstance(name, str) for name in channels):
        raise RequestError(
            "bad_channels", f"channels is {short(channels)}; expected the names of the epochs' channels, in order."
        )
    if len(channels) > MAX_CHANNELS:
        raise HttpError("too_large", f"There are {len(channels)} channels; at most {MAX_CHANNELS} a request.", 413)
    if len(key_of(channels)) < len(channels):
        raise RequestError("bad_channels", f"channels names one twice: {short(channels)}; expected different names.")
    if why := why_not_interpolated(channels, expected):
        raise RequestError(
            "missing_channels",
            f"channels lacks {' '.join(missing(channels, expected))}, {why}; model {served.version} expects {' '.join(expected)}, in any "
            "order.",
        )
    return fit(channels, expected, "The request")


def _epochs(value: Any, n_channels: int) -> NDArray[np.float64]:
    if not isinstance(value, list) or not value or not all(isinstance(epoch, list) for epoch in value):
        raise RequestError(
            "bad_shape",
            f"epochs_uv is {short(value)}; expected a list of epochs, each a list of {n_channels} channels of microvolts.",
        )
    if len(value) > MAX_RAW_EPOCHS:
        raise HttpError(
            "too_many_epochs", f"epochs_uv has {len(value)} epochs; at most {MAX_RAW_EPOCHS} raw ones a request.", 413
        )
    n_samples = None
    for number, epoch in enumerate(value):
        if len(epoch) != n_channels or not all(isinstance(row, list) for row in epoch):
            raise RequestError(
                "bad_shape",
                f"epochs_uv[{number}] is a list of {len(epoch)}; expected {n_channels} lists of numbers, one for each of channels.",
            )
        for row in epoch:
            n_samples = len(row) if n_samples is None else n_samples
            if len(row) != n_samples:
                raise RequestError(
                    "bad_shape",
                    f"epochs_uv[{number}] has channels of {len(row)} and of {n_samples} samples; expected equally many everywhere.",
                )
            if not NUMBERS.issuperset(map(type, row)):
                raise RequestError("not_numbers", f"epochs_uv[{number}] holds something that is not a number.")
    try:
        epochs = np.array(value, dtype=np.float64)
    except OverflowError:
        epochs = np.full((1, 1, 1), np.inf)
    if not (np.abs(epochs) <= LARGEST_UV).all():
        raise RequestError(
            "impossible_scale",
            f"epochs_uv holds numbers beyond {LARGEST_UV:g}; expected microvolts, and no amplifier measures more than "
            f"{LARGEST_UV / 1e6:g} V. Are these nanovolts, or counts of the converter?",
        )
    return epochs

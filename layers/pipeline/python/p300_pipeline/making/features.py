"""Makes the features of one recording."""

from pathlib import Path
from typing import TYPE_CHECKING

from p300.features import FeatureSet, write_features
from p300.signals import Parameters, extract
from p300.usable import open_usable

if TYPE_CHECKING:
    from p300_pipeline.keys import RecordingKey


def make_features(
    key: "RecordingKey", raw: Path, parameters: Parameters, provenance: dict[str, str], target: Path
) -> FeatureSet:
    """Make the features of a recording, and write them.

    Parameters
    ----------
    key : RecordingKey
        Of the raw recording.
    raw : Path
        Its file, its companions beside it.
    parameters : Parameters
        Filter, window, baseline, rejection and output rate.
    provenance : dict of str to str
        What the features' file states beside what they are.
    target : Path
        The file to write; the same arguments give the same bytes.

    Raises
    ------
    RecordingError
        Where the recording cannot be read, or has no usable epochs.
    """
    features = extract(open_usable(raw, str(key), parameters), parameters)
    write_features(features, target, provenance)
    return features

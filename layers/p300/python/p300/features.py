"""Single-flash features: their type and their parquet file."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from p300.arrow import from_numpy, to_numpy
from p300.errors import ArtifactError
from p300.recording import NON_TARGET, TARGET, UNLABELLED

if TYPE_CHECKING:
    from p300.signals.parameters import Parameters

VOLTS_TO_UV = 1e6
DIGEST = "content_sha256"
"""Schema metadata: SHA-256 of all columns and all other metadata."""
LARGEST_V = 1.0
"""No amplifier passes more through the pass band; where epochs were rejected by their size, far less is too much."""
SMALLEST_V = 1e-8
"""Features that never reach a hundredth of a microvolt are those of no electrode."""
REMAKE = "Delete the object and run `p300 backfill`, which makes it again from the raw recording."


@dataclass(frozen=True)
class Rejection:
    """How many flashes became epochs, and why the others did not.

    Attributes
    ----------
    n_flashes : int
        Flashes on the stimulation channel.
    n_outside : int
        Flashes whose epoch begins before the recording or ends after it.
    n_kept : int
        Epochs that are left.
    by_channel : dict of str to int
        Epochs in which that channel exceeded the peak-to-peak limit; an epoch may count for several channels.
    bad_channels : tuple of str
        Channels that were replaced.
    marked_bad_channels : tuple of str
        Those of them that the file, or a person, marks as bad.
    missing_by_channel : dict of str to int
        Epochs in which samples of that channel are missing: not finite, or standing still.
    n_across_gaps : int
        Flashes whose epoch spans a discontinuity of the recording.
    n_marked_bad : int
        Flashes whose epoch touches a span that the file marks as bad.
    few_kept : str
        Why fewer than half of the flashes became epochs, and what may be done; empty where more did.
    """

    n_flashes: int
    n_outside: int
    n_kept: int
    by_channel: dict[str, int]
    bad_channels: tuple[str, ...] = ()
    marked_bad_channels: tuple[str, ...] = ()
    missing_by_channel: dict[str, int] = field(default_factory=dict)
    n_across_gaps: int = 0
    n_marked_bad: int = 0
    few_kept: str = ""


@dataclass(frozen=True)
class FeatureSet:
    """The epochs of one recording as features.

    Attributes
    ----------
    X : ndarray of float32, shape (n_epochs, n_channels * n_times)
        Volts, channel-major: all samples of the first channel, then all of the second.
    label : ndarray of int8, shape (n_epochs,)
        1 (NonTarget) or 2 (Target), or 3 (unlabelled) throughout.
    onset_sample : ndarray of int64, shape (n_epochs,)
        The flash's first sample at the recording's own rate.
    flash, repetition : ndarray of int32, shape (n_epochs,), or None
        Which stimulus group flashed, and how many times it had flashed before in the recording.
    ch_names : tuple of str
        Channels in the order of the features.
    sfreq, tmin, tmax : float
        Rate of the features in Hz, window in seconds around the flash.
    parameters : Parameters
        What made them.
    rejection : Rejection
        What was left out.
    notes : tuple of str
        What the reader assumed or converted.
    provenance : dict of str to str
        Where they come from, as the file says.
    sidecar : mapping
        What the recording's sidecar says; empty without one.
    bids : mapping
        Facts of a recording from a BIDS data set; empty of any other.
    survey : mapping
        What `p300.signals.survey.Survey` saw of the signal, and as ``said`` what the file says about itself; empty of features made before.
    """

    X: NDArray[np.floating]
    label: NDArray[np.int8]
    onset_sample: NDArray[np.int64]
    flash: NDArray[np.int32] | None
    repetition: NDArray[np.int32] | None
    ch_names: tuple[str, ...]
    sfreq: float
    tmin: float
    tmax: float
    parameters: "Parameters"
    rejection: Rejection
    notes: tuple[str, ...] = ()
    provenance: dict[str, str] = field(default_factory=dict)
    sidecar: Mapping[str, Any] = field(default_factory=dict)
    bids: Mapping[str, Any] = field(default_factory=dict)
    survey: Mapping[str, Any] = field(default_factory=dict)

    @property
    def labelled(self) -> bool:
        """Whether it is known which flashes were targets; where not, nothing is trained on them or tested with them."""
        return not (self.label == UNLABELLED).any()

    @property
    def n_times(self) -> int:
        """Samples per channel and epoch."""
        return int(self.X.shape[1]) // len(self.ch_names)

    @property
    def epochs(self) -> NDArray[np.floating]:
        """The features as epochs, shape (n_epochs, n_channels, n_times), in volts."""
        return self.X.reshape(len(self.X), len(self.ch_names), -1)


def write_features(feature_set: FeatureSet, target: str | Path | BinaryIO, provenance: dict[str, str]) -> None:
    """Write a feature set as one parquet file.

    Parameters
    ----------
    feature_set : FeatureSet
        What to write.
    target : str, Path or binary file object
        Where to.
    provenance : dict of str to str
        More metadata for the schema: the raw object's key and ETag, for instance.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    p = feature_set.parameters
    said = {**feature_set.bids, **feature_set.sidecar}
    metadata = {
        "channels": json.dumps(feature_set.ch_names),
        "sfreq": repr(feature_set.sfreq),
        "tmin": repr(feature_set.tmin),
        "tmax": repr(feature_set.tmax),
        "filter": json.dumps({"l_freq": p.l_freq, "h_freq": p.h_freq, "notch_freq": p.line_freq(said)}),
        "baseline": json.dumps(p.baseline),
        "reject": json.dumps({"peak_to_peak_uv": p.reject_peak_to_peak_uv}),
        "parameters": json.dumps(p.to_dict()),
        "rejection": json.dumps(dataclasses.asdict(feature_set.rejection)),
        "notes": json.dumps(feature_set.notes),
        "unit": "V",
        "provenance": json.dumps(sorted(provenance)),
        **({"sidecar": json.dumps(feature_set.sidecar)} if feature_set.sidecar else {}),
        **({"bids": json.dumps(feature_set.bids)} if feature_set.bids else {}),
        **({"survey": json.dumps(feature_set.survey)} if feature_set.survey else {}),
    } | provenance
    X = np.ascontiguousarray(feature_set.X, np.float32)
    values = pa.list_(pa.field("element", pa.float32(), nullable=False), X.shape[1])  # without nulls, half the work
    numbers: dict[str, tuple[NDArray[Any] | None, pa.DataType]] = {
        "label": (feature_set.label, pa.int8()),
        "onset_sample": (feature_set.onset_sample, pa.int64()),
        "flash": (feature_set.flash, pa.int32()),
        "repetition": (feature_set.repetition, pa.int32()),
    }
    columns: dict[str, pa.Array] = {
        "features": pa.FixedSizeListArray.from_arrays(from_numpy(X.reshape(-1), pa.float32()), type=values),
        **{name: from_numpy(column, kind) for name, (column, kind) in numbers.items() if column is not None},
    }
    arrays = {name: to_numpy(column) for name, column in columns.items() if name != "features"}
    metadata[DIGEST] = _digest({"features": X, **arrays}, metadata)
    metadata = dict(sorted(metadata.items()))  # the same facts give the same bytes, in whatever order they are given
    fields = [pa.field(name, column.type, nullable=False) for name, column in columns.items()]
    table = pa.Table.from_arrays(list(columns.values()), schema=pa.schema(fields, metadata))
    # Filtered EEG does not compress, and statistics over 1,120 interleaved features tell nobody anything.
    pq.write_table(
        table, target, compression="none", use_dictionary=False, write_statistics=False, row_group_size=max(len(X), 1)
    )


def read_features(source: str | Path | BinaryIO, *, name: str = "", verify: bool = True) -> FeatureSet:
    """Read what :func:`write_features` wrote; ``X`` is a view of the file's buffer, not a copy.

    Every reader of features comes through here, so that none works on numbers that were damaged.

    Parameters
    ----------
    source : str, Path or binary file object
        The parquet file.
    name : str, optional
        What messages call it: the object's address. By default the file's own name.
    verify : bool
        Whether to compare the content with its digest and look at the magnitudes. Only a file that this process has verified before
        may go without.

    Returns
    -------
    FeatureSet

    Raises
    ------
    ArtifactError
        ``not_features`` where the file is not parquet, or lacks the columns or metadata of a feature file; ``damaged_features`` where its
        content is not what was written; ``implausible_features`` where its numbers are no EEG in volts. The message names the file.
    """
    name = name or (str(source) if isinstance(source, str | Path) else getattr(source, "name", "The object"))
    try:
        return _parsed(source, name, verify=verify)
    except ArtifactError:
        raise
    except Exception as error:  # pyarrow and json raise whatever the bytes lead them into
        raise _not_features(name, error) from error


def stored_shape(path: Path, *, name: str = "") -> tuple[int, int]:
    """Return number and length of the epochs of a feature file, from its footer alone.

    Parameters
    ----------
    path : Path
        The parquet file.
    name : str, optional
        What messages call it.

    Raises
    ------
    ArtifactError
        ``not_features`` as in `read_features`.
    """
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return file.metadata.num_rows, file.schema_arrow.field("features").type.list_size
    except Exception as error:
        raise _not_features(name or str(path), error) from error


def _not_features(name: str, error: Exception) -> ArtifactError:
    return ArtifactError(
        "not_features", f"{name} is not a readable feature file: {type(error).__name__}: {error}. {REMAKE}"
    )


def _check_undamaged(feature_set: FeatureSet, metadata: dict[str, str], name: str) -> None:
    """Compare the content with its digest; files of before there was one state none."""
    stated = metadata.pop(DIGEST, None)
    read = ((column, getattr(feature_set, column)) for column in ("label", "onset_sample", "flash", "repetition"))
    columns = {"features": feature_set.X, **{column: values for column, values in read if values is not None}}
    if stated and stated != (found := _digest(columns, metadata)):
        raise ArtifactError(
            "damaged_features",
            f"{name} was damaged or changed after it was written: its content has SHA-256 {found[:12]}..., expected {stated[:12]}... "
            f"{REMAKE}",
        )


def _check_plausible(feature_set: FeatureSet, name: str) -> None:
    if not feature_set.X.size:
        return
    lowest, highest = float(feature_set.X.min()), float(feature_set.X.max())  # NaN where there is one
    if not np.isfinite([lowest, highest]).all():
        raise ArtifactError("implausible_features", f"{name} holds NaN or infinity; expected volts. {REMAKE}")
    limit_uv = feature_set.parameters.reject_peak_to_peak_uv
    # Ten times: without a baseline an epoch may lie that far from zero, and resampling overshoots.
    limit = LARGEST_V if limit_uv is None else min(10 * limit_uv / VOLTS_TO_UV, LARGEST_V)
    largest = max(-lowest, highest)
    if not SMALLEST_V <= largest <= limit:
        raise ArtifactError(
            "implausible_features",
            f"{name} holds values up to {largest:.3g} V; expected the largest between {SMALLEST_V:g} V and {limit:g} V. Check the "
            f"recording's unit and its electrodes, and land it again. Where the recording is right: {REMAKE[0].lower()}{REMAKE[1:]}",
        )


def _digest(columns: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name, column in sorted(columns.items()):
        digest.update(f"{name} {column.dtype.str} {column.shape}".encode())
        digest.update(np.ascontiguousarray(column))
    return digest.hexdigest()


def _parsed(source: str | Path | BinaryIO, name: str, *, verify: bool) -> FeatureSet:
    import pyarrow.parquet as pq

    from p300.signals.parameters import Parameters  # signals imports this module

    with pq.ParquetFile(source) as file:
        table = file.read()
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    missing = {"features", "label", "onset_sample"} - set(table.column_names)
    missing |= {"channels", "parameters", "rejection"} - set(metadata)
    if missing:
        raise ArtifactError(
            "not_features", f"{name} lacks {sorted(missing)}: expected a feature file of this project. {REMAKE}"
        )
    features = table["features"].combine_chunks()
    rejection = json.loads(metadata["rejection"])
    marked = tuple(rejection.get("marked_bad_channels", ()))
    feature_set = FeatureSet(
        X=to_numpy(features.values).reshape(len(features), -1),
        label=to_numpy(table["label"]),
        onset_sample=to_numpy(table["onset_sample"]),
        flash=to_numpy(table["flash"]) if "flash" in table.column_names else None,
        repetition=to_numpy(table["repetition"]) if "repetition" in table.column_names else None,
        ch_names=tuple(json.loads(metadata["channels"])),
        sfreq=float(metadata["sfreq"]),
        tmin=float(metadata["tmin"]),
        tmax=float(metadata["tmax"]),
        parameters=Parameters.from_dict(json.loads(metadata["parameters"])),
        rejection=Rejection(
            **rejection | {"bad_channels": tuple(rejection["bad_channels"]), "marked_bad_channels": marked}
        ),
        notes=tuple(json.loads(metadata["notes"])),
        provenance={key: metadata[key] for key in json.loads(metadata["provenance"])},
        sidecar=json.loads(metadata.get("sidecar", "{}")),
        bids=json.loads(metadata.get("bids", "{}")),
        survey=json.loads(metadata.get("survey", "{}")),
    )
    _check_consistent(feature_set)
    if verify:
        _check_undamaged(feature_set, metadata, name)
        _check_plausible(feature_set, name)
    return feature_set


def _check_consistent(feature_set: FeatureSet) -> None:
    """See that every column is as long as the features, and that these are so many channels of equally many samples."""
    if not feature_set.ch_names or not all(isinstance(name, str) for name in feature_set.ch_names):
        raise ValueError(f"channels {feature_set.ch_names!r}")
    if feature_set.X.dtype.kind != "f" or feature_set.X.shape[1] % len(feature_set.ch_names):
        raise ValueError(
            f"{feature_set.X.shape[1]} features of {len(feature_set.ch_names)} channels, {feature_set.X.dtype}"
        )
    made = feature_set.parameters
    if (feature_set.n_times, feature_set.sfreq) != (made.n_times, made.sfreq):
        raise ValueError(f"{feature_set.n_times} samples an epoch at {feature_set.sfreq:g} Hz, made with {made}")
    columns = (feature_set.label, feature_set.onset_sample, feature_set.flash, feature_set.repetition)
    if any(column is not None and column.shape != (len(feature_set.X),) for column in columns):
        raise ValueError("columns of different lengths")
    if any(column is not None and column.dtype.kind not in "iu" for column in columns):
        raise ValueError("labels, onsets, flashes or repetitions that are no whole numbers")
    if not feature_set.labelled and (feature_set.label == UNLABELLED).all() and feature_set.flash is not None:
        return
    if not np.isin(feature_set.label, (NON_TARGET, TARGET)).all():
        raise ValueError(
            f"labels other than {NON_TARGET} and {TARGET}, or {UNLABELLED} at every flash beside the groups that flashed"
        )

"""The pipeline as anyone would write it with pandas, MNE-Python and scikit-learn: what benchmarks compare with."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from sklearn.pipeline import Pipeline

SFREQ_OUT = 100.0
N_TIMES = 70


def preprocess(source: Path, target: Path) -> None:
    """Read one recording, filter, epoch, reject, resample, and write a frame with one column per feature."""
    import mne
    import numpy as np
    import pandas as pd

    frame = pd.read_parquet(source)
    eeg = [column for column in frame.columns if column.startswith("eeg_")]
    sfreq = _sfreq(source)
    names = [column.removeprefix("eeg_") for column in eeg]
    info = mne.create_info([*names, "STI"], sfreq, ["eeg"] * len(eeg) + ["stim"])
    data = np.vstack([frame[eeg].to_numpy(np.float64).T * 1e-6, frame["stim"].to_numpy(np.float64)[np.newaxis]])
    raw = mne.io.RawArray(data, info, verbose="error")
    raw.filter(1.0, 20.0, picks="eeg", verbose="error")
    events = mne.find_events(raw, "STI", verbose="error")
    epochs = mne.Epochs(
        raw,
        events,
        {"NonTarget": 1, "Target": 2},
        tmin=-0.1,
        tmax=0.6,
        baseline=(-0.1, 0.0),
        reject={"eeg": 100e-6},
        picks="eeg",
        preload=True,
        verbose="error",
    )
    epochs.drop_bad(verbose="error")
    epochs.resample(SFREQ_OUT, verbose="error")
    X = epochs.get_data(copy=False)[:, :, :N_TIMES].reshape(len(epochs), -1)
    write(X, epochs.events[:, 2], target)


def write(X: "np.ndarray", label: "np.ndarray", target: Path) -> None:
    """Write features as a frame of one column each."""
    import pandas as pd

    features = pd.DataFrame(X, columns=[f"feature_{i:04d}" for i in range(X.shape[1])])
    features["label"] = label
    features.to_parquet(target)


def read(source: Path) -> tuple["np.ndarray", "np.ndarray"]:
    """Read what :func:`write` wrote."""
    import pandas as pd

    frame = pd.read_parquet(source)
    return frame.drop(columns="label").to_numpy(), frame["label"].to_numpy()


def train(sources: list[Path]) -> "Pipeline":
    """Fit the reference model, StandardScaler and shrinkage LDA, on feature frames."""
    import numpy as np
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frames = [read(source) for source in sources]
    model = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
    return model.fit(np.concatenate([X for X, _ in frames]) * 1e6, np.concatenate([label for _, label in frames]))


def _sfreq(source: Path) -> float:
    import pyarrow.parquet as pq

    return float(pq.read_schema(source).metadata[b"sfreq"])

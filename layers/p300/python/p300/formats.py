"""Which files are recordings, and which belong to one."""

EXTENSIONS = ("parquet", "csv", "txt", "mat", "fif", "edf", "bdf", "set", "vhdr", "cnt", "dat", "xdf", "gdf", "hdf5")
HEADER_OF = {"eeg": "vhdr", "dat": "vhdr", "vmrk": "vhdr", "fdt": "set"}
"""Extension of a companion, a file that is part of a recording -> that of the header that names it, which is the recording's key."""
SIDECAR_ENDING = ".p300.json"
"""Of a sidecar's name, after that of its recording: what a lab says about the recording (see `p300.readers.sidecar`)."""
BIDS_ENDING = ".bids.json"
"""Of the name of what a BIDS data set says about a recording (see `p300.bids.bundle`), after that of the recording."""
SIDECAR_ENDINGS = (SIDECAR_ENDING, BIDS_ENDING)

TWOFOLD = frozenset(EXTENSIONS) & frozenset(HEADER_OF)
"""Extensions of recordings and of companions alike: BCI2000's ``.dat``, and BrainVision's. The first bytes tell them apart."""
NOT_READ = {
    "mff": "EGI's software keeps a recording in a folder: export it as EDF or as one FIF file (mne.io.read_raw_egi, then raw.save)",
    "tsv": "A table of tabs is read as .txt: rename it. Tables of BIDS, such as events.tsv, are not recordings",
    "nwb": "NWB needs a library that is too large for the pipeline: export the ElectricalSeries and its events as EDF, csv or parquet",
    "xdfz": "Unpack it with gzip, and name it .xdf",
    "gz": "Unpack it first",
}
"""Formats of labs that are not read, and what to do with a file of theirs."""


def instead(name: str) -> str:
    """Return what to do with a file whose extension is not read; empty where nothing is known of it."""
    extension = name.rstrip("/").rpartition(".")[2].lower()
    return f" {NOT_READ[extension]}." if extension in NOT_READ else ""

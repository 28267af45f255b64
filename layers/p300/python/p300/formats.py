"""Which files are recordings, and which belong to one."""

EXTENSIONS = ("parquet", "csv", "mat", "fif", "edf", "bdf", "set", "vhdr", "dat", "xdf", "gdf")
HEADER_OF = {"eeg": "vhdr", "dat": "vhdr", "vmrk": "vhdr", "fdt": "set"}
"""Extension of a companion, a file that is part of a recording -> that of the header that names it, which is the recording's key."""

TWOFOLD = frozenset(EXTENSIONS) & frozenset(HEADER_OF)
"""Extensions of recordings and of companions alike: BCI2000's ``.dat``, and BrainVision's. The first bytes tell them apart."""

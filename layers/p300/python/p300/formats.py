"""Which files are recordings, and which belong to one."""

EXTENSIONS = ("parquet", "csv", "mat", "fif", "edf", "bdf", "set", "vhdr")
HEADER_OF = {"eeg": "vhdr", "dat": "vhdr", "vmrk": "vhdr", "fdt": "set"}
"""Extension of a companion, a file that is part of a recording -> that of the header that names it, which is the recording's key."""
SIDECAR_ENDING = ".p300.json"
"""Of a sidecar's name, after that of its recording: what a lab says about the recording (see `p300.readers.sidecar`)."""

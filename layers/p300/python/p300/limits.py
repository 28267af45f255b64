"""How much a recording may hold, and how much may be derived from it.

Anybody who may upload decides what a file says. Each number lies well above what EEG recordings have and well below what a function of
2 GB and 300 s can take; readers and the preprocessing refuse what exceeds it, and say what was found and what is allowed.
"""

# ---- the recording
LONGEST_H = 24
"""Hours."""
HIGHEST_RATE_HZ = 20_000
"""The matrix that resamples an epoch grows with the square of the sampling rate."""
LARGEST_N_SAMPLES = 1 << 25
"""Samples of one channel, 18 hours at 512 Hz: the stimulation is in memory as a whole."""
MOST_CHANNELS = 1024
"""Of any kind. The densest EEG caps have 256 electrodes; systems that record MEG with it have about 400 channels."""
MOST_VALUES = 1 << 30
"""Channels x samples: 64 channels for more than four hours at 1,024 Hz. Compression can claim many times what a file's bytes hold."""
MOST_STIM_CHANNELS = 32
"""Each may have to be read in a pass of its own over the file."""
MOST_ANNOTATIONS = 100_000
"""Events in a file's annotations or markers, six a second for four and a half hours."""
LONGEST_NAME = 64
"""Characters of a channel's name."""
LONGEST_FACT = 256
"""Characters of what a file says about itself: date, software, device."""

# ---- files and formats
LARGEST_SIDECAR_BYTES = 1 << 18
"""Of a recording's sidecar: new names of 1,024 channels take half of it."""
LONGEST_DELAY_MS = 1000
"""Of flashes after their events: screens and amplifiers take tens of milliseconds."""
MOST_SYMBOLS = 1024
"""Of a speller layout."""
LONGEST_TEXT = 4096
"""Symbols that were spelled in a recording."""
LARGEST_BIDS_FILE_BYTES = 16 << 20
"""Of one table or JSON file of a BIDS data set: 100,000 events with 160 characters each."""
LARGEST_BIDS_BYTES = 32 << 20
"""Of all that a BIDS data set says about one recording, as it lands with it."""
MOST_BIDS_FILES = 64
"""Metadata files that apply to one recording; there are five kinds on four levels."""
MOST_BIDS_COLUMNS = 256
"""Of a table."""
MOST_COLUMNS = 4096
"""Of a table, whether or not they are EEG."""
LARGEST_HEADER_BYTES = 1 << 20
"""Of a BrainVision header, a text of a few lines a channel."""
MOST_HEADER_LINES = 2 * MOST_CHANNELS + 2048
"""Of its settings: two lines a channel."""
LONGEST_LINE = 4096
"""Characters of a line in a BrainVision header or marker file."""
LARGEST_PARAMETERS_BYTES = 16 << 20
"""Of a BCI2000 header: a classifier's weights are a parameter."""
MOST_STREAMS = 256
"""Of an XDF file."""
MOST_CHUNKS = 1 << 22
"""Of an XDF file: two hours of one for every sample at 512 Hz."""
MOST_CLOCK_OFFSETS = 100_000
"""Of a stream of an XDF file, measured every five seconds."""
LARGEST_FOOTER_BYTES = 8 << 20
"""Of a parquet file: about 100 bytes for each column of each row group."""
MOST_RECORDS = 1 << 20
"""Data records of an EDF or BDF file, usually one a second."""
LARGEST_ANNOTATION_SIGNAL_BYTES = 32 << 20
"""Of all annotation signals of an EDF+ or BDF+ file."""
MOST_TAGS = 1 << 17
"""Of a FIF file, one for each buffer of usually a second."""
LARGEST_TAG_BYTES = 16 << 20
"""Of a FIF tag that is not signal."""
MOST_VARIABLES = 4096
"""Of a MATLAB file."""
MOST_ARRAYS = 1 << 20
"""Arrays in arrays of a MATLAB file: an EEGLAB event has about ten."""
SMALLEST_LARGE_BYTES = 256 << 20
LARGEST_UNFOLDING = 100
"""Times a file's size that it may unfold to, where that is more than `SMALLEST_LARGE_BYTES`: real EEG shrinks less than tenfold."""
LARGEST_IN_MEMORY_BYTES = 384 << 20
"""Of formats that are read whole, unfolded: 90 minutes of 16 channels at 512 Hz in float64."""

# ---- what is derived
MOST_FLASHES_PER_S = 50
"""On average over the recording. The fastest visual P300 paradigms flash some 20 times a second."""
MOST_FLASH_GROUPS = 1024
"""Different rows, columns or sets of symbols."""
LARGEST_FEATURES_BYTES = 256 << 20
"""Flashes x channels x samples of an epoch's features, as float32: 15,000 flashes of 64 channels, 60,000 of 16. A file of them is written
from three times as much memory."""
MOST_EPOCH_VALUES = 1 << 33
"""Flashes x channels x samples of an epoch at the recording's own rate: all of them are cut, measured and resampled."""

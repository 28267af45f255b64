"""BIDS data sets of EEG: names of files, which metadata apply to a recording, and what they say."""

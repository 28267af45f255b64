"""The P300 pipeline from Python: what the command and the console are made of."""

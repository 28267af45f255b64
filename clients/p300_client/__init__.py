"""The P300 pipeline from Python: the library on which the command and the console are built."""

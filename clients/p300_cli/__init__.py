"""The ``p300`` command."""

"""Hostile input by the hundred thousand: `make fuzz`, or `python -m tests.fuzz --help`.

A case is a target's name, a seed and a number, and always the same bytes. `corpus` has well-formed inputs, `mutation` spoils bytes,
`formats` spoils what bytes mean, `targets` says what reads them, `worker` runs them under watch, `__main__` counts.
"""

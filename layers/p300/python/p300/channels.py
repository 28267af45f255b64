"""Channels go by name: the same channels in another order are put in order, anything else is refused.

Every place where features meet a model, or another recording, comes through here: their numbers alone do not tell one channel from another.
"""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from p300.errors import P300Error
from p300.text import few_of

EEG_PREFIX = re.compile(r"eeg[ _:-]+(?=[a-z])", re.IGNORECASE)


def plain(channel: str) -> str:
    """Return a channel's name as it is compared with others: FP1, Fp1 and "EEG Fp1" are one electrode.

    Parameters
    ----------
    channel : str
        Any spelling.

    Returns
    -------
    name : str
    """
    return " ".join(EEG_PREFIX.sub("", unicodedata.normalize("NFC", channel)).casefold().split())


def match(names: Sequence[str], wanted: Sequence[str], what: str = "The recording") -> NDArray[np.intp]:
    """Return where each wanted channel is among others.

    Parameters
    ----------
    names : sequence of str
        Channels as they are.
    wanted : sequence of str
        The same channels as they should be.
    what : str
        Whose `names` are, to begin a message with.

    Returns
    -------
    order : ndarray of int, shape (n_channels,)
        ``names[order[i]]`` is ``wanted[i]``.

    Raises
    ------
    P300Error
        ``wrong_channels`` where the two are not the same set, or a name occurs twice.
    """
    place = {plain(name): number for number, name in enumerate(names)}
    expected = [plain(name) for name in wanted]
    if len(place) < len(names) or len(set(expected)) < len(expected):
        raise P300Error("wrong_channels", f"{what} has a channel twice: {few_of(names)}; expected different names.")
    missing = [name for name, key in zip(wanted, expected, strict=True) if key not in place]
    surplus = [name for name in names if plain(name) not in set(expected)]
    if missing or surplus:
        differences = [
            f"{few_of(some)} {what_of}" for some, what_of in ((missing, "missing"), (surplus, "not expected")) if some
        ]
        raise P300Error(
            "wrong_channels",
            f"{what} has channels {few_of(names) or 'none'}; expected {few_of(wanted)}, in any order: {'; '.join(differences)}.",
        )
    return np.array([place[key] for key in expected], np.intp)

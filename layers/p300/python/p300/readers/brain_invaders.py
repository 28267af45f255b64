"""Facts about the Brain Invaders data sets that their files do not carry: column order, channels, rate, codes.

As MOABB documents them in ``moabb.datasets.braininvaders``, and the data sets' descriptions on Zenodo.
"""

import re
from dataclasses import dataclass, field

_16_CHANNELS = "Fp1 Fp2 F5 AFz F6 T7 Cz T8 P7 P3 Pz P4 P8 O1 Oz O2"
_32_CHANNELS = (
    "Fp1 Fp2 AFz F7 F3 F4 F8 FC5 FC1 FC2 FC6 T7 C3 Cz C4 T8 CP5 CP1 CP2 CP6 P7 P3 Pz P4 P8 PO7 O1 Oz O2 PO8 PO9 PO10"
)


@dataclass(frozen=True)
class FileLayout:
    """One data set's matrix of samples x columns.

    Attributes
    ----------
    data_set : str
        Its name.
    variables : tuple of str
        What the matrix is called in its MATLAB files.
    n_columns : int
        Width of the matrix.
    channels : str
        EEG channel names in order, separated by blanks; ``-`` stands for a column that is no signal.
    first_eeg : int
        Column of the first channel.
    stim : tuple of int
        Columns whose sum is the stimulation.
    sfreq : float
        Sampling rate in Hz.
    second_player : int or None
        Column of the second player's first channel, where two play at once.
    unit_known : bool
        Whether the values are microvolts for certain.
    """

    data_set: str
    variables: tuple[str, ...]
    n_columns: int
    channels: str
    first_eeg: int = 1  # after the time
    stim: tuple[int, ...] = (-1,)
    sfreq: float = 512.0
    second_player: int | None = None
    unit_known: bool = True
    ch_names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ch_names", tuple(c for c in self.channels.split() if c != "-"))

    def eeg_columns(self, player: int = 1) -> list[int]:
        """Return the columns of one player's EEG channels."""
        first = self.first_eeg if player == 1 or self.second_player is None else self.second_player
        return [first + i for i, channel in enumerate(self.channels.split()) if channel != "-"]


# Sources disagree on F5 / F6 against F3 / F4 for bi2014a's third and fifth channels; MOABB writes F3 / F4.
BI2014A = FileLayout("bi2014a", ("samples",), 18, _16_CHANNELS)
FILE_LAYOUTS = (
    BI2014A,
    FileLayout(
        "bi2012",
        ("training", "online"),
        20,
        "F7 F3 - F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2",  # the third is Fz, the ground
        stim=(-2, -1),
        sfreq=128.0,
    ),
    FileLayout("bi2013a", ("data",), 17, _16_CHANNELS, first_eeg=0, unit_known=False),
    FileLayout("bi2014b", ("samples",), 66, _32_CHANNELS, second_player=33),
    FileLayout("bi2015a", ("DATA",), 35, _32_CHANNELS, stim=(-2, -1)),
    FileLayout("bi2015b", ("mat_data",), 66, _32_CHANNELS, second_player=33),
)


def player_of(name: str) -> int:
    """Tell from a file's name whose EEG a two-player matrix is read for: ``sujet_02``, else an even ``subject_``."""
    own = re.search(r"sujet_?0*([12])\b", name.rsplit("/", 1)[-1])
    if own:
        return int(own.group(1))
    subject = re.search(r"subject_?0*(\d+)", name)
    return 2 if subject and int(subject.group(1)) % 2 == 0 else 1


# Codes of a stim channel -> (class, stimulus group or 0). The first is everybody's; the others are data sets'.
# In the csv files and in bi2015b the tens tell rows and columns, target and not; the units tell which of six.
_NON_TARGET, _TARGET = 1, 2
FLASH_CODES = {
    **{20 + i: (_NON_TARGET, 1 + i) for i in range(6)},
    **{40 + i: (_NON_TARGET, 7 + i) for i in range(6)},
    **{60 + i: (_TARGET, 1 + i) for i in range(6)},
    **{80 + i: (_TARGET, 7 + i) for i in range(6)},
}
PLAIN_CODES = {1: (_NON_TARGET, 0), 2: (_TARGET, 0)}
OPENVIBE_CODES = {33285: (_TARGET, 0), 33286: (_NON_TARGET, 0)}
"""OpenViBE's labels, in bi2013a."""

"""How good a speller is: information transfer rate, and how far a share of few symbols can be trusted."""

import math

CONFIDENCE_95 = 1.959963984540054
"""Standard normal deviate that 95 % lie within."""


def wolpaw_bits(accuracy: float, n_symbols: int) -> float:
    """Return the bits that one selection carries.

    Parameters
    ----------
    accuracy : float
        Share of symbols decoded right, 0 to 1.
    n_symbols : int
        To choose from, at least 2.

    Returns
    -------
    bits : float
        Of Wolpaw et al. (2002, Brain-computer interfaces for communication and control, Clin. Neurophysiol. 113:767-791):
        all symbols alike, errors spread evenly. 0 at chance and below, where the formula would count systematic errors.
        Times selections a minute it is the information transfer rate.
    """
    if accuracy <= 1 / n_symbols:
        return 0.0
    bits = math.log2(n_symbols) + accuracy * math.log2(accuracy)
    if accuracy < 1:
        bits += (1 - accuracy) * math.log2((1 - accuracy) / (n_symbols - 1))
    return max(bits, 0.0)


def wilson_interval(n_right: int, n: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share.

    Parameters
    ----------
    n_right, n : int
        Symbols decoded right, of how many (at least 1).

    Returns
    -------
    low, high : float
        Wilson (1927, Probable inference, the law of succession, and statistical inference, JASA 22:209-212).
    """
    z2 = CONFIDENCE_95**2
    centre = (n_right + z2 / 2) / (n + z2)
    half = CONFIDENCE_95 / (n + z2) * math.sqrt(n_right * (n - n_right) / n + z2 / 4)
    return max(0.0, centre - half), min(1.0, centre + half)

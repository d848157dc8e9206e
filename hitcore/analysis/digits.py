"""Numbers with no more digits than they deserve.

A number beside an interval is written to the second significant digit of the interval's half width,
as measurements are: digits beyond that would change with the next recording of the same song.

References:
    Particle Data Group, "Review of particle physics", introduction, section 5.3 (rounding).
"""

import math


def sure_digits(value: float, low: float, high: float) -> str:
    """A number rounded as its interval allows, with thousands set apart.

    Example:
        >>> sure_digits(9353.6, 3012.0, 20_450.0), sure_digits(0.5524, 0.44, 0.55)
        ('9,400', '0.552')
        >>> sure_digits(78.3, 61.2, 90.4), sure_digits(5.25, 5.25, 5.25)
        ('78', '5.25')
    """
    half = abs(high - low) / 2
    if not math.isfinite(half) or not math.isfinite(value):
        return "–"
    if half == 0:
        return f"{value:.3g}"
    decimals = 1 - math.floor(math.log10(half))
    rounded = round(value, decimals)
    return f"{rounded:,.{max(0, decimals)}f}"


def sure_interval(value: float, low: float, high: float) -> str:
    """A number with its interval, all three to the same digit.

    Example:
        >>> sure_interval(78.3, 61.2, 90.4)
        '78 (61–90)'
    """
    parts = [sure_digits(number, low, high) for number in (value, low, high)]
    return f"{parts[0]} ({parts[1]}–{parts[2]})"


def share_words(share: float) -> str:
    """A share of plays in % or parts per million, to two digits: no model knows more.

    Example:
        >>> share_words(0.00161626), share_words(0.0263), share_words(1.0241e-06)
        ('1,600 ppm', '2.6 %', '1 ppm')
    """
    if share >= 0.01:
        return f"{float(f'{100 * share:.2g}'):g} %"
    return f"{float(f'{1e6 * share:.2g}'):,.10g} ppm"

"""The methods by name, and the front door: a song in, its highlight out."""

from collections.abc import Callable

from hitcore.audio import Waveform
from hitcore.errors import ParameterError
from hitcore.highlights.attention import attention_evidence
from hitcore.highlights.middle import middle_evidence
from hitcore.highlights.repetition import repetition_evidence
from hitcore.highlights.snapping import Snap, snap_highlight
from hitcore.highlights.windows import Evidence, Highlight, Section, best_windows
from hitcore.objects import is_object_name, object_named

_FINDERS: dict[str, Callable[[Waveform], Evidence]] = {
    "middle": middle_evidence,
    "repetition": repetition_evidence,
    "attention": attention_evidence,
}

METHODS: tuple[str, ...] = tuple(_FINDERS)
"""Names that `find_highlight` accepts, beside `attention:WEIGHTS` such as `attention:nam-lf`, and
`module:function` for a method of one's own."""

HighlightMethod = Callable[[Waveform], Highlight]
"""A method of one's own: a waveform in, its highlight out."""

DEFAULT_METHOD = "repetition"
"""The method of choice, by measurement: see docs/highlights.md."""


def find_evidence(
    waveform: Waveform, method: str | None = None, device: str | None = None
) -> Evidence:
    """What speaks for hearing each moment of the song, by one method.

    Args:
        waveform: The whole song.
        method: As in `find_highlight`, by name; a method of one's own shows no evidence.
        device: Where the attention is computed; None: the CPU, as for the other methods always.

    Raises:
        ParameterError: If `method` is none of `METHODS`.

    Example:
        >>> import numpy as np
        >>> song = Waveform(np.zeros(22050 * 40, np.float32), 22050)
        >>> find_evidence(song, "repetition").note
        'no clear highlight: silence'
    """
    name = DEFAULT_METHOD if method is None else method
    base, _, chosen = name.partition(":")
    if base == "attention" and (chosen or device):
        return attention_evidence(waveform, chosen or None, device=device)
    check_method(name)
    if name not in _FINDERS:
        raise ParameterError(f"{name} is a method of your own and shows no evidence over time")
    return _FINDERS[name](waveform)


def check_method(method: str) -> None:
    """Say whether a name can stand for a highlight method, before any song is heard.

    Raises:
        ParameterError: It cannot.
    """
    base, _, chosen = method.partition(":")
    named = method in _FINDERS or (base == "attention" and chosen) or is_object_name(method)
    if not named:
        raise ParameterError(
            f"highlight method {method!r}: one of {', '.join(METHODS)} is expected, or "
            "attention:WEIGHTS with the name or file of other weights, or module:function"
        )


def find_highlight(
    waveform: Waveform,
    method: str | HighlightMethod | None = None,
    *,
    length_s: float = 30.0,
    snap: Snap | None = None,
    device: str | None = None,
) -> Highlight:
    """The part of a song that is most worth hearing.

    Args:
        waveform: The whole song; a song no longer than `length_s` is its own highlight.
        method: One of `METHODS`, `module:function`, or a callable of a `Waveform` that returns
            a `Highlight`; None for `DEFAULT_METHOD`.
        length_s: Length of the highlight in seconds.
        snap: Move the start to the nearest "beat", or "section" that comes back; None: leave it.
        device: Where the attention is computed; None: the CPU, as for the other methods always.

    Raises:
        ParameterError: If `method` is none of `METHODS`, or `length_s` is not positive.
        WeightsError: If the attention's weights are not installed.

    References:
        The paper, section 2.5.

    Example:
        >>> import numpy as np
        >>> song = Waveform(np.zeros(22050 * 40, np.float32), 22050)
        >>> highlight = find_highlight(song, "middle")
        >>> highlight.start, highlight.end
        (5.0, 35.0)
    """
    return find_highlights(waveform, 1, method, length_s=length_s, snap=snap, device=device)[0]


def find_highlights(
    waveform: Waveform,
    n_highlights: int,
    method: str | HighlightMethod | None = None,
    *,
    length_s: float = 30.0,
    snap: Snap | None = None,
    device: str | None = None,
) -> list[Highlight]:
    """The best parts of a song that do not overlap, best first; fewer where there is no room.

    A method of one's own finds one, whatever its length.

    Raises:
        ParameterError: If `method` is none of `METHODS`, or a number is not positive.

    Example:
        >>> import numpy as np
        >>> song = Waveform(np.zeros(22050 * 60, np.float32), 22050)
        >>> [h.start for h in find_highlights(song, 2, "middle", length_s=20.0)]
        [20.0, 0.0]
    """
    if isinstance(method, str) and is_object_name(method):
        method = object_named(method)
    if callable(method):
        found = [_checked(method(waveform), waveform)]
    else:
        found = best_windows(find_evidence(waveform, method, device), n_highlights, length_s)
    if snap is None:
        return found
    return [snap_highlight(highlight, waveform, snap) for highlight in found]


def _checked(highlight: object, waveform: Waveform) -> Highlight:
    """What a method of one's own gave, if it can be used."""
    if not isinstance(highlight, Highlight):
        raise ParameterError(
            f"a highlight method returns a hitcore.Highlight; this one gave {highlight!r:.80}"
        )
    if not 0 <= highlight.start < highlight.end <= waveform.duration_s + 1e-6:
        raise ParameterError(
            f"the highlight method {highlight.method!r} gave {highlight.start:g} to "
            f"{highlight.end:g} s, outside the song (0 to {waveform.duration_s:.1f} s)"
        )
    return highlight


def repeated_sections(waveform: Waveform) -> tuple[Section, ...]:
    """What comes back in a song, with the times of all its occurrences, ordered by start.

    Sections of one group sound alike; group 0 is the one that most speaks for a highlight, in most
    songs the chorus. Empty where nothing comes back.

    Example:
        >>> import numpy as np
        >>> repeated_sections(Waveform(np.zeros(22050 * 60, np.float32), 22050))
        ()
    """
    return repetition_evidence(waveform).sections

"""The middle of the song (the paper's Mid-30): needs no listening, and finds the chorus by luck."""

import numpy as np

from hitcore.audio import Waveform
from hitcore.highlights.windows import Evidence


def middle_evidence(waveform: Waveform) -> Evidence:
    """Nearness to the middle of the song, 1 there and 0 at both ends.

    The best window of any length is then the one centred in the song. It is never confident: the
    position says nothing about the music.

    Example:
        >>> from hitcore.highlights.windows import best_windows
        >>> song = Waveform(np.zeros(100_000, np.float32), 1000)
        >>> [(h.start, h.end) for h in best_windows(middle_evidence(song))]
        [(35.0, 65.0)]
    """
    duration = waveform.duration_s
    n_frames = max(1, int(np.ceil(duration)))
    times = np.asarray(np.arange(n_frames) * (duration / n_frames), np.float64)
    centres = (np.arange(n_frames) + 0.5) / n_frames
    return Evidence(
        method="middle",
        curve=1 - np.abs(2 * centres - 1),
        curve_times=times,
        duration_s=duration,
        confident=False,
        note="the middle is chosen by position alone",
    )

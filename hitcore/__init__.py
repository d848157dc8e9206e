"""Audio-based hit song prediction.

Conventions:
    waveform: mono float32 samples `(n_samples,)` with a sample rate in Hz.
    log_mel: `(..., n_mels, n_frames)`, mel bin 0 is the lowest.
    highlight: half-open interval `[start, end)` in seconds of the song.
    taggram: `(n_patches, n_tags)`, activations from 0 to 1.
    hit_score: the share of all plays of a day that fell to a song, 0 to 1; higher is better.

References:
    L.-C. Yu, Y.-H. Yang, Y.-N. Hung, Y.-A. Chen: "Hit Song Prediction for Pop Music by Siamese
    CNN with Ranking Loss", 2017.
"""

import lazy_loader as _lazy

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)

"""The networks that rate a song, and models as files.

In: log-mel spectrograms `(n_songs, n_mels, n_frames)` and tags `(n_songs, n_tags)`. Out: one score
per song, higher means more of a hit.

`hitnet` holds the networks of the paper and their mix, `mixing` eq. 4, `targets` the transform of
hit scores into what a network learns, `statistics` raters for catalogues of hundreds of songs and
`kernels` how these are fitted, `models` trained ensembles with what they expect, as files, `cards`
what people should know of them.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "cards": ["ModelCard", "load_card"],
        "hitnet": ["HitCNN", "HitNet", "HitNetOutput", "InceptionCNN", "LinearRater", "TagDNN"],
        "kernels": ["KernelSettings", "fit_kernel"],
        "mixing": ["MixKind", "mixed_score"],
        "models": ["HitModel", "ModelSpec", "load_model", "save_model"],
        "statistics": ["LogTagRater", "StatisticsRater", "mel_statistics", "sound_statistics"],
        "targets": ["inverse_target", "transform_target"],
    },
)

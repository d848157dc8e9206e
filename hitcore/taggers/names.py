"""The tags of the published taggers by name, for features that were made elsewhere.

A tagger's own file says the same; this list is for those who bring tags and not the tagger.

References:
    The 50 most frequent tags of MagnaTagATune (E. Law et al., ISMIR 2009), in the order of
    musicnn's outputs.
"""

from collections.abc import Mapping

TAG_NAMES: Mapping[str, tuple[str, ...]] = {
    "musicnn-mtt": (
        *("guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock"),
        *("fast", "piano", "ambient", "beat", "violin", "vocal", "synth", "female", "indian"),
        *("opera", "male", "singing", "vocals", "no vocals", "harpsichord", "loud", "quiet"),
        *("flute", "woman", "male vocal", "no vocal", "pop", "soft", "sitar", "solo", "man"),
        *("classic", "choir", "voice", "new age", "dance", "male voice", "female vocal", "beats"),
        *("harp", "cello", "no voice", "weird", "country", "metal", "female voice", "choral"),
    ),
}
"""Tags in the order of each tagger's outputs. JYnet's are the same words in another order."""

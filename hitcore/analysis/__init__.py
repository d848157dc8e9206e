"""The one door: a song in, its report out.

`song` decodes, finds the highlight, hears the tags and scores; `report` is what comes out;
`batches` makes, writes and prints reports of many songs. `curve` rates every 30-second window from
one pass, with the tags of `tagstretches`. On demand: `why` (against the song of `typical`),
`whatif`, and `similar` songs.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "batches": ["analyse_all", "as_text", "write_reports"],
        "curve": ["HitCurve", "hit_curve"],
        "report": ["ModelScore", "SongReport"],
        "similar": ["SongLibrary", "nearest_to", "song_map"],
        "typical": ["typical_for"],
        "whatif": ["changed_curve", "song_tags", "what_if"],
        "why": ["explain_bands", "explain_moments", "explain_tags"],
        "song": [
            "analyse",
            "clip_taggram",
            "default_models",
            "evidence_of",
            "highlight_clip",
            "whole_taggram",
        ],
    },
)

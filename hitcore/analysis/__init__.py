"""The one door: a song in, its report out.

`song` decodes, finds the highlight, hears the tags and scores; `report` is what comes out;
`batches` makes, writes and prints reports of many songs.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "batches": ["analyse_all", "as_text", "write_reports"],
        "report": ["ModelScore", "SongReport"],
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

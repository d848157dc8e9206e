"""Readers of other people's files: play logs and catalogues in, canonical tables out.

One door for plays, `read_plays`, and one for tables of songs, `read_songs`; `sniff_format` says
which reader a file needs. What comes out is described in `hitcore.sources.playlog`.
"""

from hitcore.sources.doors import FORMATS, read_plays, read_songs, sniff_format
from hitcore.sources.playlog import PLAYS_SCHEMAS, SONGS_SCHEMA, PlayLog, ReadReport
from hitcore.sources.reading import OnError
from hitcore.sources.unpacking import Progress, ReadLimits

__all__ = [
    "FORMATS",
    "PLAYS_SCHEMAS",
    "SONGS_SCHEMA",
    "OnError",
    "PlayLog",
    "Progress",
    "ReadLimits",
    "ReadReport",
    "read_plays",
    "read_songs",
    "sniff_format",
]

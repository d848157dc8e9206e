"""Readers of other people's files: play logs and catalogues in, canonical tables out.

One door for plays, `read_plays`, and one for tables of songs, `read_songs`; `sniff_format` says
which reader a file needs. What services give to a person is read by `personal`; charts, data sets
for research and tables of one's own by the readers here. What comes out is described in
`hitcore.plays.parsing.playlog`.
"""

from hitcore.plays.parsing.playlog import PLAYS_SCHEMAS, SONGS_SCHEMA, PlayLog, ReadReport
from hitcore.plays.parsing.reading import OnError
from hitcore.plays.parsing.unpacking import Progress, ReadLimits
from hitcore.plays.readers.formats import FORMATS, read_plays, read_songs, sniff_format

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

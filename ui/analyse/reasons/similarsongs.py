"""Similar songs as a table and as a map of songs with this one in it."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from hitcore.analysis.similar import Neighbour, SongLibrary, SongMap
from ui.frame.theme import palette


def neighbours_table(
    found: Sequence[Neighbour], achieved: str = "Plays on day 60, ppm", scale: float = 1e6
) -> pd.DataFrame:
    """The songs that sound most alike, nearest first; what each achieved, where that is known.

    Args:
        found: The songs.
        achieved: What the library's popularity is.
        scale: What it is multiplied by to be in that unit; it is shown to two digits.

    Example:
        >>> one = Neighbour(0, "a", "Song", 0.345, None, "demo:0:1")
        >>> neighbours_table([one]).columns.tolist()
        ['Song', 'Distance']
    """
    table = pd.DataFrame(
        {
            "Song": [song.title for song in found],
            "Distance": [round(song.distance, 2) for song in found],
        }
    )
    if any(song.popularity is not None for song in found):
        known = [None if s.popularity is None else scale * s.popularity for s in found]
        table[achieved] = ["" if value is None else f"{float(f'{value:.2g}'):g}" for value in known]
    return table


def map_table(places: SongMap, library: SongLibrary, titles: Sequence[str]) -> pd.DataFrame:
    """Where each song lies: the library's, then those that were looked up."""
    return pd.DataFrame(
        {
            "song": [*library.titles, *titles],
            "x": np.concatenate([places.points[:, 0], places.here[:, 0]]),
            "y": np.concatenate([places.points[:, 1], places.here[:, 1]]),
            "which": ["catalogue"] * len(library.titles) + ["this song"] * len(titles),
        }
    )


def map_chart(places: SongMap, library: SongLibrary, titles: Sequence[str]) -> alt.LayerChart:
    """A map of songs: near is alike; the songs that were looked up stand out.

    Args:
        places: Where the songs lie.
        library: The songs of the map.
        titles: What those are called that were looked up.
    """
    table, colours = map_table(places, library, titles), palette()
    (low_x, high_x), (low_y, high_y) = places.ends
    first, second = (f"{100 * share:.0f} % of the spread" for share in places.explained)
    x = alt.X("x:Q", title=f"more “{low_x}”  ←  {first}  →  more “{high_x}”", axis=_bare())
    y = alt.Y("y:Q", title=f"more “{low_y}”  ←  {second}  →  more “{high_y}”", axis=_bare())
    base = alt.Chart(table).encode(x=x, y=y, tooltip=["song:N"])
    others = base.transform_filter("datum.which == 'catalogue'").mark_circle(
        size=30, color=colours.grey, opacity=0.6
    )
    here = base.transform_filter("datum.which == 'this song'")
    mark = here.mark_point(size=160, filled=True, shape="diamond", color=colours.accent)
    words = here.mark_text(dy=-14, color=colours.accent, fontWeight="bold", limit=200).encode(
        text="song:N"
    )
    return (others + mark + words).properties(height=360)


def _bare() -> alt.Axis:
    return alt.Axis(labels=False, ticks=False, grid=False)

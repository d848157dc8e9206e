"""The pictures of the Distribution page: Fig. 3, the tail, Lorenz, the target, and one song."""

import io
from collections.abc import Callable

import altair as alt
import numpy as np
import pandas as pd

from hitcore.networks.targets import transform_target
from hitcore.plays.longtail import LongTail, lorenz
from hitcore.plays.tailfits import LogNormalFit, PowerLawFit
from ui.frame.page import ppm
from ui.frame.theme import Palette, palette

N_DRAWN = 700
"""So many points at most stand for a ranking of any length; its table is exact."""
N_BINS = 40


def drawn_ranks(n_songs: int) -> np.ndarray:
    """The ranks that are drawn: all of the first ones, then ever fewer, evenly on both scales.

    Example:
        >>> len(drawn_ranks(50)), len(drawn_ranks(1_000_000)) <= N_DRAWN
        (50, True)
    """
    if n_songs <= N_DRAWN:
        return np.arange(1, n_songs + 1)
    by_log = np.geomspace(1, n_songs, N_DRAWN // 2)
    by_rank = np.linspace(1, n_songs, N_DRAWN // 2)
    return np.unique(np.concatenate([by_log, by_rank]).round().astype(int))


def curve_points(songs: pd.DataFrame) -> pd.DataFrame:
    """The drawn part of a ranking, `rank, part, song_id, …, ppm`; songs best first."""
    ranks = np.arange(1, len(songs) + 1)
    shown = songs["title"].where(songs["title"] != "", songs["song_id"])
    ranked = songs.assign(
        title=shown, rank=ranks, part=ranks / max(len(songs), 1), ppm=songs["hit_score"] * 1e6
    )
    kept = ranked.iloc[drawn_ranks(len(ranked)) - 1] if len(ranked) else ranked
    return kept[["rank", "part", "song_id", "title", "artist", "ppm"]]


def crossing(scores: np.ndarray, value: float) -> float:
    """The rank at which the line through the scores, best first, falls to a value.

    Example:
        >>> crossing(np.array([9.0, 5.0, 1.0]), 4.0)
        2.25
    """
    ranks = np.arange(1, len(scores) + 1)
    return float(np.interp(-value, -scores, ranks))


def ranking_chart(songs: pd.DataFrame, figures: LongTail, height: int = 300) -> alt.LayerChart:
    """Fig. 3: hit score against rank, linear, the mean as a big dot.

    Args:
        songs: Best first.
        figures: Of the same songs.
        height: In pixels.
    """
    colours = palette()
    points = curve_points(songs)
    x = alt.X(
        "rank:Q",
        title="songs, most played first",
        scale=alt.Scale(domain=[0, max(figures.n_songs, 2)], nice=False),
        axis=alt.Axis(format=",d", grid=False, tickCount=6, tickMinStep=1),
    )
    y = alt.Y(
        "ppm:Q",
        title="share of all plays (ppm)",
        axis=alt.Axis(format=",~f", tickCount=5, gridColor=colours.faint),
    )
    base = alt.Chart(points).encode(x=x, y=y)
    mean = pd.DataFrame(
        {
            # Where the drawn line passes the mean: between two ranks, which few songs show.
            "rank": [crossing(songs["hit_score"].to_numpy(float), figures.mean)],
            "ppm": [figures.mean * 1e6],
            "text": [f"mean {ppm(figures.mean)}, rank {figures.rank_of_mean:,}"],
        }
    )
    at_mean = alt.Chart(mean).encode(x=x, y=y)
    return alt.layer(
        base.mark_area(color=colours.grey, opacity=0.18),
        base.mark_line(color=colours.ink, strokeWidth=1.6),
        at_mean.mark_point(filled=True, size=190, color=colours.accent, opacity=1),
        at_mean.mark_text(align="left", dx=12, dy=-12, color=colours.accent, fontSize=12).encode(
            text="text:N"
        ),
    ).properties(height=height)


def tail_chart(
    songs: pd.DataFrame,
    test: pd.DataFrame,
    log_normal: LogNormalFit | None,
    power_law: PowerLawFit | None,
    chosen: str | None,
) -> alt.LayerChart:
    """Part of the songs against hit score on log scales, with the fitted laws; a click picks.

    Args:
        songs: All, best first.
        test: Those of the test fold, best first.
        log_normal: Drawn as a line where it was fitted.
        power_law: Drawn from where its tail begins.
        chosen: Id of the song to mark.
    """
    colours = palette()
    points = _positive(curve_points(songs))
    curves = _laws(points, len(songs), log_normal, power_law)
    low = float(points["ppm"].min())
    powers = np.arange(np.floor(np.log10(low)), np.log10(points["ppm"].max()) + 1)
    x = alt.X(
        "part:Q",
        title="part of the songs, most played first (log scale)",
        scale=alt.Scale(type="log", nice=False, domain=[1 / max(len(songs), 2), 1]),
        axis=alt.Axis(format="~%", grid=False, tickCount=5),
    )
    y = alt.Y(
        "ppm:Q",
        title="share of all plays (ppm, log scale)",
        scale=alt.Scale(type="log", nice=False, domainMin=low),
        axis=alt.Axis(format=",~g", values=list(10.0**powers), gridColor=colours.faint),
    )
    pick = alt.selection_point(name="song", fields=["song_id"], on="click", nearest=True)
    layers = [
        alt.Chart(curves)
        .mark_line(strokeWidth=1.6, clip=True)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "law:N",
                legend=None,
                scale=alt.Scale(
                    domain=["log-normal", "power law"], range=[colours.blue, colours.violet]
                ),
            ),
            strokeDash=alt.StrokeDash("law:N", legend=None),
        ),
        alt.Chart(_positive(curve_points(test)))
        .mark_line(color=colours.grey, strokeWidth=1.6)
        .encode(x=x, y=y),
        alt.Chart(points)
        .mark_circle(color=colours.ink, size=26, opacity=0.85)
        .encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("title:N"),
                alt.Tooltip("artist:N"),
                alt.Tooltip("rank:Q", format=","),
                alt.Tooltip("ppm:Q", format=",.3~g", title="share (ppm)"),
            ],
        )
        .add_params(pick),
        *_labels(curves, test, x, y, colours),
    ]
    marked = songs[songs["song_id"] == chosen] if chosen else songs.head(0)
    if len(marked) and float(marked["hit_score"].iloc[0]) > 0:
        one = marked.assign(ppm=marked["hit_score"] * 1e6, part=marked["rank"] / len(songs))
        one = one[["part", "ppm", "title"]]
        base = alt.Chart(one).encode(x=x, y=y)
        layers += [
            base.mark_point(size=160, color=colours.accent, strokeWidth=3, opacity=1),
            *_haloed(base, colours, color=colours.accent, align="left", dx=12, dy=-10)("title:N"),
        ]
    return alt.layer(*layers).properties(height=360)


def lorenz_chart(figures: LongTail, scores: np.ndarray) -> alt.LayerChart:
    """The Lorenz curve, the line of equality, and the area whose double is the Gini coefficient."""
    colours = palette()
    songs, plays = lorenz(scores)
    rows = np.unique(np.r_[0, len(songs) - drawn_ranks(len(songs))])
    table = pd.DataFrame({"songs": songs[rows], "plays": plays[rows]})
    x = alt.X(
        "songs:Q",
        title="songs, least played first",
        axis=alt.Axis(format="%", grid=False, tickCount=5),
    )
    y = alt.Y(
        "plays:Q",
        title="plays that they have",
        axis=alt.Axis(format="%", tickCount=5, gridColor=colours.faint),
    )
    base = alt.Chart(table).encode(x=x, y=y)
    equal = alt.Chart(pd.DataFrame({"songs": [0, 1], "plays": [0, 1]})).encode(x=x, y=y)
    words = pd.DataFrame(
        {
            "songs": [0.42, 0.66],
            "plays": [0.52, 0.32],
            "text": ["all played alike", f"Gini {figures.gini:.3f}"],
            "colour": [colours.grey, colours.ink],
        }
    )
    return alt.layer(
        base.mark_area(color=colours.grey, opacity=0.18).encode(
            y=alt.Y("songs:Q", title=None), y2="plays:Q"
        ),
        equal.mark_line(color=colours.grey, strokeDash=[4, 3]),
        base.mark_line(color=colours.ink, strokeWidth=2),
        alt.Chart(words)
        .mark_text(align="right", baseline="bottom", fontSize=12)
        .encode(x=x, y=y, text="text:N", color=alt.Color("colour:N", scale=None)),
    ).properties(height=360)


def target_table(scores: np.ndarray) -> pd.DataFrame:
    """How many songs lie in each bin of the transformed score, `y, y_end, songs`."""
    counts, edges = np.histogram(transform_target(scores), bins=N_BINS)
    return pd.DataFrame({"y": edges[:-1], "y_end": edges[1:], "songs": counts})


def target_chart(scores: np.ndarray, mean: float) -> alt.LayerChart:
    """What a network learns: the transformed score, with the mean that parts A from B."""
    colours = palette()
    bars = (
        alt.Chart(target_table(scores))
        .mark_bar(color=colours.grey, binSpacing=1)
        .encode(
            x=alt.X(
                "y:Q",
                bin="binned",
                title="y = −1 / log₁₀(share)",
                axis=alt.Axis(grid=False, tickCount=8, format=".2~f"),
            ),
            x2="y_end:Q",
            y=alt.Y("songs:Q", title="songs", axis=alt.Axis(gridColor=colours.faint)),
            tooltip=[
                alt.Tooltip("y:Q", format=".3f", title="y from"),
                alt.Tooltip("songs:Q", format=","),
            ],
        )
    )
    at = alt.Chart(
        pd.DataFrame({"y": transform_target([mean]), "text": [f"mean share {ppm(mean)}"]})
    ).encode(x="y:Q")
    return alt.layer(
        bars,
        at.mark_rule(color=colours.accent, strokeWidth=2),
        at.mark_text(align="left", dx=6, baseline="top", color=colours.accent).encode(
            y=alt.value(4), text="text:N"
        ),
    ).properties(height=260)


def song_chart(curve: pd.DataFrame, marks: pd.DataFrame, levels: pd.DataFrame) -> alt.LayerChart:
    """A song's daily share, its release, the days that its score looks at, and its scores.

    Args:
        curve: `date, share`, every day of the log.
        marks: `date, end, text, accent`: days to mark; `end` differs for windows.
        levels: `share, text, accent`: scores as horizontal lines.
    """
    colours = palette()
    x = alt.X("date:T", title=None, axis=alt.Axis(grid=False, tickCount=8))
    y = alt.Y(
        "ppm:Q",
        title="share of the day's plays (ppm)",
        axis=alt.Axis(format=",~f", tickCount=5, gridColor=colours.faint),
    )
    line = alt.Chart(curve.assign(ppm=curve["share"] * 1e6)).encode(x=x, y=y)
    colour = alt.Color("colour:N", scale=None)
    tinted = _tinted(marks, colours)
    days = alt.Chart(tinted).encode(x=alt.X("date:T", title=None), color=colour)
    tinted_levels = _tinted(levels, colours).assign(ppm=levels["share"] * 1e6)
    flat = alt.Chart(tinted_levels).encode(y=y, color=colour)
    # The words of the release stand a line below, as on a narrow screen they would collide.
    day_words = []
    for accent, height in ((True, 2), (False, 18)):
        base = alt.Chart(tinted[tinted["accent"].astype(bool) == accent])
        base = base.encode(x=alt.X("date:T", title=None), y=alt.value(height), color=colour)
        day_words += _haloed(base, colours, align="left", dx=5, baseline="top")("text:N")
    # The higher score has its words above its line, the lower one below.
    level_words = []
    for above in (True, False):
        is_here = (tinted_levels["share"] >= tinted_levels["share"].max()) == above
        words = alt.Chart(tinted_levels[is_here]).encode(x=alt.value(4), y=y, color=colour)
        place = {"baseline": "bottom", "dy": -4} if above else {"baseline": "top", "dy": 5}
        level_words += _haloed(words, colours, align="left", **place)("text:N")
    return alt.layer(
        alt.Chart(tinted).mark_rect(opacity=0.15).encode(x="date:T", x2="end:T", color=colour),
        line.mark_line(color=colours.ink, strokeWidth=1.4).encode(
            tooltip=[
                alt.Tooltip("date:T", format="%-d %b %Y"),
                alt.Tooltip("ppm:Q", format=",.3~g", title="share (ppm)"),
            ]
        ),
        days.mark_rule(strokeWidth=2),
        *day_words,
        flat.mark_rule(strokeDash=[5, 4], strokeWidth=1.5),
        *level_words,
    ).properties(height=300, padding={"top": 8})


def for_print(*panels: tuple[str, alt.LayerChart]) -> alt.HConcatChart:
    """Charts side by side under their titles, on paper, for a file."""
    colours = palette()
    return (
        alt.hconcat(*(chart.properties(title=title, width=420) for title, chart in panels))
        .configure(background=colours.paper, font="sans-serif", padding=16)
        .configure_axis(
            labelColor=colours.ink,
            titleColor=colours.ink,
            domainColor=colours.grey,
            tickColor=colours.grey,
            titleFontWeight="normal",
        )
        .configure_title(color=colours.ink, anchor="start", frame="group", fontSize=14)
        .configure_view(stroke=None)
    )


def as_file(chart: alt.TopLevelMixin, kind: str) -> Callable[[], bytes]:
    """What draws a chart as "png" or "svg" when it is called."""

    def draw() -> bytes:
        if kind == "svg":
            text = io.StringIO()
            chart.save(text, format="svg")
            return text.getvalue().encode()
        picture = io.BytesIO()
        chart.save(picture, format="png", scale_factor=2)
        return picture.getvalue()

    return draw


def _positive(points: pd.DataFrame) -> pd.DataFrame:
    return points[points["ppm"] > 0]


def _laws(
    points: pd.DataFrame,
    n_songs: int,
    log_normal: LogNormalFit | None,
    power_law: PowerLawFit | None,
) -> pd.DataFrame:
    """The fitted laws as part of the songs against ppm: P(X > x) of the played ones lie above x."""
    share = np.geomspace(points["ppm"].min(), points["ppm"].max() * 3, 160) / 1e6
    parts = []
    for law, fit in (("log-normal", log_normal), ("power law", power_law)):
        if fit is not None:
            part = fit.n / n_songs * fit.survival(share)
            parts.append(pd.DataFrame({"part": part, "ppm": share * 1e6, "law": law}))
    if not parts:
        return pd.DataFrame({"part": [], "ppm": [], "law": []})
    table = pd.concat(parts, ignore_index=True)
    return table[table["part"].between(1 / n_songs, 1)]


def _labels(
    curves: pd.DataFrame, test: pd.DataFrame, x: alt.X, y: alt.Y, colours: Palette
) -> list[alt.Chart]:
    """Names beside the lines, in their colours, where the lines are apart."""
    at = []
    for law, colour, place in (
        ("log-normal", colours.blue, 0.93),
        ("power law", colours.violet, 0.30),
    ):
        line = curves[curves["law"] == law].sort_values("part")
        if len(line):
            row = line.iloc[int(place * (len(line) - 1))]
            at.append({"part": row["part"], "ppm": row["ppm"], "text": law, "colour": colour})
    shown = _positive(curve_points(test))
    if len(shown):
        row = shown.iloc[len(shown) // 4]
        at.append(
            {"part": row["part"], "ppm": row["ppm"], "text": "test fold", "colour": colours.grey}
        )
    if not at:
        return []
    return [
        alt.Chart(pd.DataFrame(at))
        .mark_text(align="right", dx=-8, dy=8, fontSize=12)
        .encode(x=x, y=y, text="text:N", color=alt.Color("colour:N", scale=None))
    ]


def _haloed(base: alt.Chart, colours: Palette, **mark: object) -> Callable[[str], list[alt.Chart]]:
    """Words that stay legible over lines: once in the colour of the page and wide, once plain."""

    def write(field: str) -> list[alt.Chart]:
        halo = {"stroke": colours.paper, "strokeWidth": 4, "strokeOpacity": 0.9}
        words = base.encode(text=field)
        behind = base.encode(text=field, color=alt.value(colours.paper))
        return [
            behind.mark_text(**{**mark, **halo}, fontSize=12),
            words.mark_text(**mark, fontSize=12),
        ]

    return write


def _tinted(table: pd.DataFrame, colours: Palette) -> pd.DataFrame:
    accent = table["accent"].astype(bool)
    return table.assign(colour=np.where(accent, colours.accent, colours.grey))

"""A report as one HTML file: numbers, charts and the 30 seconds themselves, without a server.

It opens from disk and asks nobody for anything (its content security policy says so, too), and it
prints on two A4 pages. Everything that comes from a file (names, titles, notes) is escaped.

Conventions:
    Charts are SVG in the text; the sound is a data URI of FLAC. Light colours, as paper is.
"""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from jinja2 import Environment

from hitcore import __version__
from hitcore.analysis.curve import HitCurve
from hitcore.analysis.digits import share_words, sure_digits, sure_interval
from hitcore.analysis.report import ModelScore, SongReport
from hitcore.analysis.takeaway import svg

WIDTH = 180.0
"""Of the charts, millimetres: an A4 page less its margins."""

N_SCORES = 4
"""Models with a block of their own on the first page; all of them are in the table."""
N_TAGS = 12
N_NOTES = 6
LONGEST = 240
"""Characters of a text from outside that are printed, so that two pages are enough."""


def html_report(
    report: SongReport,
    sound: bytes | None = None,
    name: str | None = None,
    mime: str = "audio/flac",
) -> str:
    """One song's report as an HTML document.

    Args:
        report: What is to be told.
        sound: The highlight as a sound file, such as `encode(highlight_clip(…), "FLAC")` gives;
            None leaves the player out.
        name: What the song is called; None for its tags, else its file's name.
        mime: The kind of sound file.

    Example:
        >>> page = html_report(report, encode(clip, "FLAC"))        # doctest: +SKIP
    """
    called = name or report.display_name
    data = None if sound is None else base64.b64encode(sound).decode("ascii")
    return _ENVIRONMENT.from_string(_SONG).render(
        name=_shortened(called),
        facts=_facts(report),
        flags=[_shortened(flag) for flag in report.flags],
        highlight=f"{_clock(report.highlight.start)} – {_clock(report.highlight.end)}",
        method=report.highlight.method,
        sound=None if data is None else f"data:{mime};base64,{data}",
        scores=[_block(score, report) for score in report.scores[:N_SCORES]],
        over_time=over_time(report),
        curve_words=_curve_words(report),
        tags=tag_bars(report.tags[:N_TAGS]),
        tagger=report.tagger,
        rows=[_row(score) for score in report.scores],
        notes=[_shortened(note) for note in report.notes[:N_NOTES]],
        hash=report.content_hash,
        version=__version__,
        style=_STYLE,
    )


def html_batch(reports: Sequence[SongReport], names: Sequence[str] | None = None) -> str:
    """Many songs on one page: each with its curve, its highlight and what the models say.

    Args:
        reports: What is to be told, in the order of the page.
        names: What the songs are called; None for their tags, else their files' names.
    """
    called = [report.display_name for report in reports] if names is None else list(names)
    rows = [
        {
            "name": _shortened(name),
            "length": _clock(report.info.duration_s),
            "highlight": f"{_clock(report.highlight.start)} – {_clock(report.highlight.end)}",
            "curve": small_curve(report),
            "scores": [f"{score.title}: {words_of(score)}" for score in report.scores[:N_SCORES]],
            "tags": ", ".join(tag for tag, _ in report.tags[:3]),
            "flags": ", ".join(report.flags),
        }
        for name, report in zip(called, reports, strict=True)
    ]
    page = _ENVIRONMENT.from_string(_BATCH)
    return page.render(rows=rows, version=__version__, style=_STYLE)


def words_of(score: ModelScore) -> str:
    """What one model says of a song, with as many digits as it deserves.

    A song outside the model's domain gets a sentence, never a number.
    """
    if score.in_domain is False:
        return score.note or "no place: unlike the songs that the model knows"
    if score.percentile is not None:
        place = 100 * score.percentile
        if score.low is None or score.high is None:
            return f"percentile {place:.0f}"
        return "percentile " + sure_interval(place, 100 * score.low, 100 * score.high)
    if score.share is not None:
        return f"{share_words(score.share)} of all plays"
    if score.curve is not None and score.song_score is not None:
        return "score " + sure_digits(score.song_score, *score.curve.range)
    return f"score {score.score:.2g}"


# --- drawings ------------------------------------------------------------------------------------


def over_time(report: SongReport) -> str:
    """The waveform with the highlight, and the hit curve of the first model under it."""
    duration = max(report.info.duration_s, 1e-3)
    height, curve = 58.0, _first_curve(report)
    left, right = 12.0, WIDTH - 1.0

    def at(seconds: Any) -> Any:
        return svg.scaled(seconds, 0.0, duration, left, right)

    low, high = report.envelope
    x = at(np.linspace(0, duration, len(low)))
    start, end = (float(at(t)) for t in (report.highlight.start, report.highlight.end))
    parts = [
        svg.box(start, 2, end - start, height - 8, svg.ACCENT, 0.15),
        svg.area(x, svg.scaled(low, -1, 1, 24, 2), svg.scaled(high, -1, 1, 24, 2), svg.GREY),
        svg.text(0, 14, "sound"),
    ]
    if curve is not None:
        # A window's score stands in its middle.
        middles = np.minimum(curve.starts + curve.window_s / 2, duration)
        least, most = float(curve.scores.min()), float(curve.scores.max())
        y = svg.scaled(curve.scores, least, most, 50, 29)
        median = float(svg.scaled(curve.song_score, least, most, 50, 29))
        parts += [
            svg.line([left, right], [median, median], svg.FAINT),
            svg.line(at(middles), y, svg.INK),
            svg.text(0, 40, "score"),
            svg.text(right, median - 1, "median", "end"),
        ]
    for seconds in _ticks(duration):
        parts.append(svg.text(float(at(seconds)), height - 1, _clock(seconds), "middle"))
    words = f"Waveform of {_clock(duration)}, highlight from {_clock(report.highlight.start)}"
    return svg.drawing(WIDTH, height, parts, words)


def small_curve(report: SongReport, width: float = 40.0, height: float = 9.0) -> str:
    """The hit curve of the first model in a line of a table, the highlight marked."""
    curve = _first_curve(report)
    duration = max(report.info.duration_s, 1e-3)
    start, end = (
        float(svg.scaled(t, 0, duration, 0, width))
        for t in (report.highlight.start, report.highlight.end)
    )
    parts = [svg.box(start, 0, end - start, height, svg.ACCENT, 0.15)]
    if curve is not None:
        scores = curve.scores
        x = svg.scaled(
            np.minimum(curve.starts + curve.window_s / 2, duration), 0, duration, 0, width
        )
        y = svg.scaled(scores, float(scores.min()), float(scores.max()), height - 1, 1)
        parts.append(svg.line(x, y, svg.INK, 0.25))
    return svg.drawing(width, height, parts, "hit curve")


def tag_bars(tags: Sequence[tuple[str, float]]) -> str:
    """The strongest tags as bars from 0 to 1."""
    step, label = 5.0, 34.0
    parts = []
    for number, (tag, value) in enumerate(tags):
        y = number * step
        parts += [
            svg.text(label - 2, y + 3.6, tag, "end", svg.INK),
            svg.box(label, y + 1, (WIDTH - label - 14) * float(value), step - 2, svg.GREY),
            svg.text(label + (WIDTH - label - 14) * float(value) + 1.5, y + 3.6, f"{value:.2f}"),
        ]
    return svg.drawing(WIDTH, max(step * len(tags), step), parts, "strongest tags of the highlight")


def interval_strip(score: ModelScore, width: float = 84.0) -> str:
    """The percentile as a mark on a rail from 0 to 100, its interval as a bar."""
    parts = [svg.box(0, 4, width, 1.2, svg.FAINT)]
    if score.percentile is not None:
        if score.low is not None and score.high is not None:
            low, high = score.low * width, score.high * width
            parts.append(svg.box(low, 2.8, high - low, 3.6, svg.GREY, 0.6))
        parts.append(svg.box(score.percentile * width - 0.5, 1, 1, 7.2, svg.ACCENT))
    parts += [svg.text(0, 12, "0"), svg.text(width, 12, "100", "end")]
    return svg.drawing(width, 13, parts, f"{score.title}: {words_of(score)}")


# --- words ---------------------------------------------------------------------------------------


def _block(score: ModelScore, report: SongReport) -> dict[str, Any]:
    demo = "Demo: learned from synthetic songs. " if score.demo else ""
    among = f"among {score.reference}. " if score.reference and score.percentile is not None else ""
    return {
        "title": score.title,
        "words": words_of(score),
        "strip": interval_strip(score) if score.percentile is not None else "",
        "passage": _passage_words(score.curve, report),
        "small": _shortened(f"{demo}{among}{score.provenance}."),
    }


def _passage_words(curve: HitCurve | None, report: SongReport) -> str:
    """The headline beside the value at the highlight, with the range."""
    if curve is None or len(curve.starts) < 2:
        return ""
    low, high = curve.range
    median, here = (
        sure_digits(value, low, high)
        for value in (curve.song_score, curve.at(report.highlight.start))
    )
    least, most = (sure_digits(value, low, high) for value in (low, high))
    return (
        f"Score {median} for the song (its 30-second windows: {least} to {most}), {here} at the "
        "highlight."
    )


def _curve_words(report: SongReport) -> str:
    score = next((s for s in report.scores if s.curve is not None), None)
    if score is None:
        return ""
    return (
        f"Below: what {score.title} says of the 30 seconds around each moment. Its headline is the "
        "median over the song."
    )


def _row(score: ModelScore) -> dict[str, str]:
    def number(value: float | None, scale: float = 1.0) -> str:
        return "–" if value is None else f"{scale * value:.3g}"

    domain = {True: "yes", False: "no", None: "–"}[score.in_domain]
    mixes = ", ".join(f"{mix}: {share_words(share)}" for mix, share in score.mixes.items())
    return {
        "model": score.model,
        "percentile": number(score.percentile, 100),
        "low": number(score.low, 100),
        "high": number(score.high, 100),
        "domain": domain,
        "score": number(score.score),
        "song": number(score.song_score),
        "share": "–" if score.share is None else share_words(score.share),
        "mixes": mixes or "–",
    }


def _facts(report: SongReport) -> str:
    info = report.info
    channels = {1: "mono", 2: "stereo"}.get(info.n_channels, f"{info.n_channels} channels")
    rate = f"{info.sample_rate / 1000:g} kHz"
    bits = f"{info.container} {info.bit_rate / 1000:.0f} kb/s"
    return " · ".join((_clock(info.duration_s), rate, channels, bits))


def _first_curve(report: SongReport) -> HitCurve | None:
    return next((score.curve for score in report.scores if score.curve is not None), None)


def _ticks(duration: float) -> list[float]:
    steps = (5, 10, 15, 30, 60, 120, 300, 600)
    step = next((s for s in steps if duration / s <= 8), 900)
    return [float(t) for t in range(step, int(duration - step / 4) + 1, step)]


def _shortened(words: str) -> str:
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


# --- the pages -----------------------------------------------------------------------------------

# Charts are made here of numbers and escaped words; all else is escaped by the template.
_ENVIRONMENT = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)

_POLICY = "default-src 'none'; media-src data:; style-src 'unsafe-inline'"

_STYLE = """
@page { size: A4; margin: 14mm 15mm; }
* { box-sizing: border-box; }
body { font: 10pt/1.4 Georgia, "Source Serif 4", serif; color: #161412; background: #fff;
  max-width: 184mm; margin: 8mm auto; padding: 0 2mm; overflow-wrap: anywhere; }
h1 { font-size: 19pt; line-height: 1.15; margin: 0 0 2mm; max-height: 23mm; overflow: hidden; }
h2 { font-size: 12pt; margin: 5mm 0 2mm; }
p { margin: 0 0 2mm; }
.small { color: #5A564F; font-size: 8.5pt; }
.score { border-top: 0.3mm solid #DDD8CF; padding: 2mm 0; break-inside: avoid; }
.score b { font-size: 11pt; }
section { break-inside: avoid; }
.second { break-before: page; }
svg { display: block; max-width: 100%; height: auto; font-family: "Source Sans 3", sans-serif; }
audio { width: 100%; height: 10mm; }
table { border-collapse: collapse; width: 100%; font-size: 8.5pt; }
th, td { text-align: left; padding: 1mm 2mm 1mm 0; border-top: 0.3mm solid #DDD8CF;
  vertical-align: top; }
tr { break-inside: avoid; }
@media print { body { margin: 0; max-width: none; padding: 0; } audio { display: none; } }
"""

_HEAD = (
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content=\""""
    + _POLICY
    + """\">
<meta name="viewport" content="width=device-width, initial-scale=1">
"""
)

_SONG = (
    _HEAD
    + """<title>{{ name }} · hitcore</title><style>{{ style | safe }}</style></head><body>
<h1>{{ name }}</h1>
<p class="small">{{ facts }}</p>
{% for flag in flags %}<p><b>Note:</b> {{ flag }}</p>{% endfor %}
<h2>Where it would stand</h2>
{% for score in scores %}
<div class="score"><b>{{ score.title }}</b> {{ score.words }}
{{ score.strip | safe }}
{% if score.passage %}<p>{{ score.passage }}</p>{% endif %}
<p class="small">{{ score.small }}</p></div>
{% else %}<p>No hit model is installed.</p>
{% endfor %}
<section><h2>Highlight {{ highlight }}</h2>
{% if sound %}<audio controls preload="auto" src="{{ sound }}"></audio>{% endif %}
<p class="small">Chosen by: {{ method }}. The coloured band marks it. {{ curve_words }}</p>
{{ over_time | safe }}</section>
<section class="second"><h2>What the highlight sounds like, by {{ tagger }}</h2>
{{ tags | safe }}
<p class="small">Longer bars: the tagger is surer that the word fits, from 0 to 1.</p></section>
<section><h2>Numbers</h2>
<table><tr><th>model<th>percentile<th>low<th>high<th>in domain<th>score, highlight<th>score, song
<th>share<th>mixes</tr>
{% for row in rows %}<tr><td>{{ row.model }}<td>{{ row.percentile }}<td>{{ row.low }}
<td>{{ row.high }}<td>{{ row.domain }}<td>{{ row.score }}<td>{{ row.song }}<td>{{ row.share }}
<td>{{ row.mixes }}</tr>
{% endfor %}</table>
<p class="small">The interval runs from low to high. A score says what a model hears in the sound;
how far sound tells of success, the project's documentation says.</p></section>
{% if notes %}<section><h2>Notes</h2>{% for note in notes %}<p class="small">{{ note }}</p>
{% endfor %}</section>{% endif %}
<p class="small">SHA-256 {{ hash }} · hitcore {{ version }}</p>
</body></html>
"""
)

_BATCH = (
    _HEAD
    + """<title>{{ rows | length }} songs · hitcore</title><style>{{ style | safe }}</style></head>
<body><h1>{{ rows | length }} songs</h1>
<table><tr><th>song<th>length<th>highlight<th>hit curve<th>where it would stand<th>tags
<th>flags</tr>
{% for row in rows %}<tr><td><b>{{ row.name }}</b><td>{{ row.length }}<td>{{ row.highlight }}
<td>{{ row.curve | safe }}<td>{% for words in row.scores %}{{ words }}<br>{% endfor %}
<td>{{ row.tags }}<td>{{ row.flags }}</tr>
{% endfor %}</table>
<p class="small">The coloured band of each curve is the highlight. hitcore {{ version }}</p>
</body></html>
"""
)

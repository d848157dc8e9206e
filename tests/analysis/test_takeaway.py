"""What is taken away: an HTML report that stands alone, a table with everything, sure digits."""

import io
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hitcore.analysis.batches import write_reports
from hitcore.analysis.curve import HitCurve
from hitcore.analysis.digits import share_words, sure_digits, sure_interval
from hitcore.analysis.report import ModelScore, SongReport
from hitcore.analysis.takeaway import svg
from hitcore.analysis.takeaway.htmlreport import html_batch, html_report, words_of
from hitcore.analysis.takeaway.tables import csv_of, table_of
from hitcore.audio import AudioInfo, Waveform, encode
from hitcore.highlights import Highlight
from hitcore.taggers import Taggram

NASTY = '<script>alert("x")</script> & "friends"'


def curve(n: int = 300) -> HitCurve:
    wave = np.sin(np.arange(n) / 20)
    return HitCurve(0.37 * np.arange(n), np.stack([wave, wave + 0.1]), 30.0)


def score(model: str = "real-d", **changes: object) -> ModelScore:
    base = ModelScore(
        model=model, title=f"The {model} ensemble", provenance="trained on 522 clips; research use",
        demo=False, score=0.51, song_score=0.05, share=None, audio_score=0.4, tag_score=0.6,
        fold_scores=(0.5, 0.52), percentile=0.783, low=0.612, high=0.904, in_domain=True,
        reference="522 real songs", curve=curve(),
    )  # fmt: skip
    return replace(base, **changes)


def report(n_scores: int = 4, **changes: object) -> SongReport:
    generator = np.random.default_rng(0)
    activations = generator.uniform(0, 1, (10, 50)).astype(np.float32)
    tags = tuple(f"tag {i}" for i in range(50))
    published = score(
        "kkbox-ret30", percentile=None, low=None, high=None, in_domain=None, share=0.00161626,
        mixes={"published": 0.00161626, "trained": 0.0263}, reference=None,
    )  # fmt: skip
    base = SongReport(
        name="=1+1.mp3", title="Miedo", artist="Yuanan", content_hash="ab" * 32,
        info=AudioInfo(
            duration_s=169.2, sample_rate=44_100, n_channels=2, container="MP3",
            bit_rate=191_000, title="Miedo", artist="Yuanan", codec="MP3", truncated=False,
        ),
        highlight=Highlight(60.0, 90.0, "repetition", np.ones(3), np.arange(3.0), True),
        alternatives=(), tagger="musicnn-mtt",
        taggram=Taggram(activations, tags, np.arange(10.0)),
        scores=(published, *(score(f"real-{i}") for i in range(n_scores - 1))),
        flags=("no clear highlight",), notes=("A note.",),
        envelope=np.stack([-np.ones(1200), np.ones(1200)]).astype(np.float32),
    )  # fmt: skip
    return replace(base, **changes)


def sound(seconds: float = 2.0) -> bytes:
    tone = np.sin(np.arange(int(seconds * 8000)) / 4).astype(np.float32)
    return encode(Waveform(tone, 8000), "FLAC")


def test_nothing_from_a_file_becomes_markup() -> None:
    nasty = report(title=NASTY, artist=None, name=NASTY, notes=(NASTY,), flags=(NASTY,))
    for page in (html_report(nasty, sound()), html_batch([nasty]), html_report(nasty, name=NASTY)):
        assert "<script" not in page
        assert "&lt;script&gt;" in page
    assert "<script" not in svg.drawing(10, 10, [svg.text(0, 0, NASTY)], NASTY)


def test_a_song_outside_the_domain_has_a_sentence_and_no_number() -> None:
    outside = score(
        in_domain=False, percentile=None, low=None, high=None, note="It is a metronome."
    )
    assert words_of(outside) == "It is a metronome."
    page = html_report(report(scores=(outside,)))
    assert "It is a metronome." in page
    assert "78" not in re.sub(r"<svg.*?</svg>|<style.*?</style>", "", page, flags=re.S)


def test_numbers_have_the_digits_of_their_interval() -> None:
    assert words_of(score()) == "percentile 78 (61–90)"
    assert words_of(report().scores[0]) == "1,600 ppm of all plays"
    assert sure_interval(0.123456, 0.11, 0.14) == "0.123 (0.110–0.140)"
    assert sure_digits(205.4, 6.0, 205.0) == "205"
    assert sure_digits(123456.0, 60_000.0, 190_000.0) == "123,000"
    assert sure_digits(float("nan"), 0, 1) == "–"
    assert share_words(0.5) == "50 %"


@pytest.mark.parametrize("seed", range(20))
def test_rounding_keeps_the_number_within_a_tenth_of_its_interval(seed: int) -> None:
    generator = np.random.default_rng(seed)
    low = float(generator.normal(0, 10.0 ** generator.integers(-6, 6)))
    high = low + float(10.0 ** generator.uniform(-6, 6))
    value = low + (high - low) * generator.uniform()
    written = float(sure_digits(value, low, high).replace(",", ""))
    assert abs(written - value) <= 0.05001 * (high - low)


def test_the_table_holds_what_the_page_shows() -> None:
    table = table_of([report(), report(scores=())], ["A song", "=cmd()"])
    first = table.iloc[0]
    assert first["real-0 percentile"] == 78.3
    assert (first["real-0 low"], first["real-0 high"]) == (61.2, 90.4)
    assert bool(first["real-0 in domain"]) is True
    assert first["flags"] == "no clear highlight"
    assert first["kkbox-ret30 share, published mix"] == 0.00161626
    assert first["kkbox-ret30 share, trained mix"] == 0.0263
    assert first["real-0 song score"] == 0.05
    assert first["tag tag 3"] == pytest.approx(report().taggram.mean()[3], abs=1e-6)
    assert pd.isna(table.iloc[1]["real-0 percentile"])
    read = pd.read_csv(io.StringIO(csv_of([report()])))
    assert read.loc[0, "file"] == "'=1+1.mp3"


def test_a_folder_gets_everything(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(encode(Waveform(np.full(8000 * 95, 0.1, np.float32), 8000)))
    write_reports([report(source_path=path), report()], tmp_path / "out")
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == [
        "001-1-1-highlight.wav", "001-1-1.html", "001-1-1.json", "002-1-1.html", "002-1-1.json",
        "songs.csv", "songs.html",
    ]  # fmt: skip
    assert "data:audio/flac" in (tmp_path / "out/001-1-1.html").read_text()
    document = json.loads((tmp_path / "out/001-1-1.json").read_text())
    assert document["scores"][1]["curve"]["step_s"] == pytest.approx(0.37)
    assert len(pd.read_csv(tmp_path / "out/songs.csv")) == 2


@pytest.mark.browser
@pytest.mark.parametrize("n_scores", [1, 4, 12])
def test_a_report_opens_from_disk_plays_and_prints_on_two_pages(
    tmp_path: Path, n_scores: int
) -> None:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium here: install Debian's package chromium, or set CHROMIUM")
    sync_api = pytest.importorskip("playwright.sync_api")
    long = "A very long title that goes on and on " * 12
    file = tmp_path / "report.html"
    notes = ("A long note. " * 30,) * 9
    found = report(n_scores, title=long, notes=notes)
    file.write_text(html_report(found, sound()), encoding="utf-8")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(file.as_uri())
        page.wait_for_function("document.querySelector('audio').readyState >= 2")
        played = page.evaluate(
            "async () => { const a = document.querySelector('audio'); a.muted = true;"
            " await a.play(); return a.duration; }"
        )
        pdf = page.pdf(format="A4", prefer_css_page_size=True)
        browser.close()
    assert played == pytest.approx(2.0, abs=0.1)
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert complaints == []
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 2

"""Analyse: two taggers side by side, another highlight, and the address that reopens the view."""

from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from hitcore import weights
from hitcore.analysis import song as analysis
from hitcore.audio import Waveform, encode
from hitcore.taggers import Taggram
from tests.analysis.test_takeaway import score
from ui.analyse import reports, songs, tagpairs, view
from ui.analyse.tagpairs import TagPairs

PAGE = Path(__file__).resolve().parents[2] / "pages" / "analyse.py"
WORDS = {
    "musicnn-mtt": ("loud", "slow", "Rock", "harp"),
    "jynet": ("harp", "rock", "slow", "loud"),
    "musicnn-msd": ("ROCK", "sad", "jazz"),
}
LENGTH_S = 70


class CountedTagger:
    """Knows a few words; what it says depends on its name and on what it hears."""

    heard: ClassVar[list[tuple[str, float]]] = []

    def __init__(self, name: str) -> None:
        self.name = name

    def tag(self, waveform: Waveform) -> Taggram:
        self.heard.append((self.name, waveform.duration_s))
        words, level = WORDS[self.name], float(np.abs(waveform.samples).mean())
        row = (np.arange(1, len(words) + 1) / 10 + level) / (1 if self.name == "jynet" else 2)
        times = np.arange(0, waveform.duration_s, 10.0)
        return Taggram(np.tile(row.astype(np.float32), (len(times), 1)), words, times, 10.0)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Which taggers are installed; no hit models."""
    names = set(WORDS)
    monkeypatch.setattr(weights, "is_installed", lambda name: name in names)
    monkeypatch.setattr(analysis, "load_tagger", CountedTagger)
    for module in (analysis, reports):
        monkeypatch.setattr(module, "default_models", lambda: ([], []))
    CountedTagger.heard.clear()
    return names


def sound() -> bytes:
    """Noise that is fullest from second 20 to second 50."""
    rng = np.random.default_rng(3)
    samples = rng.normal(0, 0.02, 8000 * LENGTH_S)
    samples[8000 * 20 : 8000 * 50] *= 6
    return encode(Waveform(samples.astype(np.float32), 8000))


@pytest.fixture
def digest(installed: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("HITCORE_CACHE", str(tmp_path))
    caches = (songs.library, reports.reports, reports.views, reports.background)
    for cache in caches:
        cache.clear()
    yield songs.library().add("session:me", "noise.wav", sound()).digest
    for cache in caches:
        cache.clear()


def visit() -> AppTest:
    """The page as this person opens it."""
    app = AppTest.from_file(str(PAGE), default_timeout=120)
    app.session_state["owner"] = "me"
    return app


def opened(digest: str, **query: str) -> AppTest:
    app = visit()
    for key, value in {"song": digest, **query}.items():
        app.query_params[key] = value
    return run_until_done(app.run())


def run_until_done(app: AppTest) -> AppTest:
    """The page once its songs are analysed, as the browser asks for it again and again."""
    assert not app.exception
    while reports.background().progress("session:me") is not None:
        assert reports.background().wait("session:me")
        app.run()
    app.run()
    assert not app.exception
    return app


def titles(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown).replace("\\", "")


def widget(elements: object, label: str) -> object:
    return next(element for element in elements if element.label == label)  # type: ignore[attr-defined]


# --- two taggers ---------------------------------------------------------------------------------


def test_two_taggers_of_one_vocabulary(digest: str) -> None:
    app = opened(digest, highlight="middle")
    assert "What musicnn-mtt hears" in titles(app)
    widget(app.selectbox, "Beside").set_value("jynet").run()
    assert not app.exception
    assert app.query_params["beside"] == "jynet"
    assert "musicnn-mtt and jynet differ most on" in titles(app)
    assert "knows these words" not in titles(app)
    table = next(frame.value for frame in app.dataframe if "jynet" in frame.value)
    assert list(table.columns) == ["tag", "musicnn-mtt", "jynet"]
    assert table.notna().all(axis=None)
    assert CountedTagger.heard == [("musicnn-mtt", 30.0), ("jynet", 30.0)]
    app.run()
    assert len(CountedTagger.heard) == 2  # nothing is heard twice
    widget(app.selectbox, "Beside").set_value("nobody").run()
    assert "beside" not in app.query_params
    assert "What musicnn-mtt hears" in titles(app)


def test_two_taggers_that_share_a_word(digest: str) -> None:
    app = opened(digest, highlight="middle", beside="musicnn-msd")
    assert "differ most on “Rock”" in titles(app)
    assert "Only musicnn-mtt knows these words" in titles(app)
    assert "Only musicnn-msd knows these words" in titles(app)


def test_the_first_tagger_can_be_another(digest: str) -> None:
    app = opened(digest, highlight="middle", beside="musicnn-msd")
    run_until_done(widget(app.selectbox, "Tags by").set_value("jynet").run())
    assert not app.exception
    assert app.query_params["tagger"] == "jynet"
    assert "differ most on “rock”" in titles(app)


@pytest.mark.parametrize("which", ["Beside", "Tags by"])
def test_a_tagger_that_is_missing_comes_with_the_line_that_gets_it(
    digest: str, installed: set[str], which: str
) -> None:
    installed.remove("jynet")
    app = opened(digest, highlight="middle")
    chosen = widget(app.selectbox, which)
    assert "jynet (not installed)" in chosen.options
    chosen.set_value("jynet").run()
    assert not app.exception
    assert not app.error
    assert app.code[0].value == "hitcore weights fetch jynet"
    assert "What musicnn-mtt hears" in titles(app)


@pytest.mark.parametrize("name", ["musicnn-mtt", "no-such", "<script>", "../x"])
def test_an_address_with_no_second_tagger_shows_one(digest: str, name: str) -> None:
    app = opened(digest, highlight="middle", beside=name)
    assert "What musicnn-mtt hears" in titles(app)
    assert "beside" not in app.query_params


def test_a_passage_by_itself_is_tagged_as_in_a_report(installed: set[str]) -> None:
    report = analysis.analyse(sound(), models=[], highlight=(12.0, 42.0), tagger="jynet")
    alone = analysis.clip_taggram(sound(), (12.0, 42.0), "jynet")
    np.testing.assert_array_equal(alone.activations, report.taggram.activations)


def test_pairs_are_of_names_in_any_case_and_the_strongest_first() -> None:
    one = Taggram(np.array([[0.2, 0.9, 0.4]]), ("slow", "Rock", "harp"), np.zeros(1))
    two = Taggram(np.array([[0.5, 0.1, 0.95]]), ("rock", "sad", "slow"), np.zeros(1))
    pairs = tagpairs.pair("a", one, "b", two)
    assert pairs.shared == [("slow", pytest.approx(0.2), pytest.approx(0.95)),
                            ("Rock", pytest.approx(0.9), pytest.approx(0.5))]  # fmt: skip
    assert pairs.only_first == [("harp", pytest.approx(0.4))]
    assert pairs.only_second == [("sad", pytest.approx(0.1))]
    assert "slow" in pairs.finding()
    assert pairs.agreement is None
    assert len(pairs.table()) == 4


def test_agreement_is_that_of_the_orders() -> None:
    def pairs_of(second: list[float]) -> TagPairs:
        shared = [(str(i), i / 10, value) for i, value in enumerate(second)]
        return TagPairs("a", "b", shared, [], [])

    rising = [i**2 / 100 for i in range(9)]
    assert pairs_of(rising).agreement == pytest.approx(1)
    assert pairs_of(rising[::-1]).agreement == pytest.approx(-1)
    assert pairs_of([0.5] * 9).agreement is None


def test_names_of_taggers_meet_neither_each_other_nor_a_line() -> None:
    width = tagpairs.NAME_WIDTH
    for one in np.linspace(0, 1, 21):
        for two in np.linspace(0, 1, 21):
            pairs = TagPairs("a", "b", [("tag", float(one), float(two))], [], [])
            names = tagpairs._names(pairs)
            at = {name["name"]: name["x"] for name in names}
            assert at == {"a": one, "b": two}
            low = max(str(name["line"]) for name in names)
            spans = []
            for name in names:
                x, right = float(name["x"]), name["align"] == "left"
                spans.append((x, x + width) if right else (x - width, x))
                assert spans[-1][0] >= -1e-9
                assert spans[-1][1] <= 1 + 1e-9
            # A name on the lower line is passed by the other dot's line, unless both stand there.
            for name, (begin, end) in zip(names, spans, strict=True):
                others = [float(o["x"]) for o in names if o is not name]
                if name["line"] == low:
                    assert not begin < others[0] < end
            if names[0]["line"] == names[1]["line"]:
                assert max(spans[0][0], spans[1][0]) >= min(spans[0][1], spans[1][1])


# --- another highlight ---------------------------------------------------------------------------


def test_a_start_by_hand_is_rated_and_stands_in_the_address(digest: str) -> None:
    app = opened(digest, highlight="middle")
    assert any("Highlight 0:20 – 0:50" in title.value for title in app.subheader)
    assert widget(app.button, "Rate this passage").disabled
    widget(app.slider, "Or move the start by hand").set_value(time(0, 0, 33)).run()
    run_until_done(widget(app.button, "Rate this passage").click().run())
    assert not app.exception
    assert any("Highlight 0:33 – 1:03" in title.value for title in app.subheader)
    assert app.query_params["start"] == "33.00"
    again = opened(digest, highlight="middle", start="33.00")
    assert any("Highlight 0:33 – 1:03" in title.value for title in again.subheader)


@pytest.mark.parametrize("start", ["nan", "-3", "1e999", "soon", ""])
def test_a_start_that_is_no_time_is_passed_over(digest: str, start: str) -> None:
    app = opened(digest, highlight="middle", start=start)
    assert any("Highlight 0:20 – 0:50" in title.value for title in app.subheader)
    assert "start" not in app.query_params


def test_every_methods_evidence_is_shown_on_demand(digest: str) -> None:
    app = opened(digest, highlight="repetition")
    assert any("0:20 – 0:50" in button.label for button in app.button) or app.subheader
    app.toggle[0].set_value(True).run()
    assert not app.exception
    assert not app.error
    table = next(frame.value for frame in app.dataframe if "method" in frame.value)
    assert set(table["method"]) == {"repetition", "attention", "middle"}


# --- songs that stay -----------------------------------------------------------------------------


def test_after_weights_are_imported_reports_are_made_with_them(
    digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(digest, highlight="middle")
    assert any("No hit model is installed yet" in text.value for text in app.markdown)
    for module in (analysis, reports):
        monkeypatch.setattr(module, "default_models", lambda: (["demo-i"], []))
    run_until_done(app.run())
    assert not any("No hit model is installed yet" in text.value for text in app.markdown)
    entry = songs.library().entry("session:me", digest)
    assert entry is not None
    assert entry.line is not None
    assert [place["model"] for place in entry.line["places"]] == ["demo-i"]


def test_what_was_chosen_for_a_song_is_there_in_another_session(digest: str) -> None:
    app = opened(digest)
    widget(app.slider, "Or move the start by hand").set_value(time(0, 0, 33)).run()
    run_until_done(widget(app.button, "Rate this passage").click().run())
    again = run_until_done(visit().run())  # the same person again, without an address
    assert any("Highlight 0:33 – 1:03" in title.value for title in again.subheader)


def test_nothing_of_a_removed_song_is_left(digest: str) -> None:
    app = opened(digest)
    assert songs.library().store.get_report("session:me", digest) is not None
    app.button(key="remove-one").click().run()
    assert not app.exception
    assert any("Nothing here yet" in info.value for info in app.info)
    root = songs.library().store.root
    assert [path for path in root.glob("*/*") if path.is_file()] == []
    for cache in (reports.reports(), reports.views()):
        assert not any(key[0] == digest for key in cache._entries)


def test_names_with_quotation_marks_are_shown_as_they_are(digest: str) -> None:
    songs.library().rename("session:me", digest, 'The "best" & <last>')
    app = opened(digest)
    assert app.header[0].value.replace("\\", "") == 'The "best" & <last>'
    assert "&quot;" not in app.header[0].value


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "The m ensemble: percentile 78 (61–90)"),
        ({"demo": True}, "The m ensemble (demo): percentile 78 (61–90)"),
        (
            {"percentile": None, "in_domain": False},
            "The m ensemble: unlike the songs it knows",
        ),
        (
            {"percentile": None, "in_domain": None, "share": 3.1e-6},
            "The m ensemble: 3.1 ppm",
        ),
        ({"percentile": None, "in_domain": None}, "The m ensemble: score 0.510"),
    ],
)
def test_models_below_the_first_say_in_a_line_what_they_say(
    changes: dict[str, object], line: str
) -> None:
    assert view.one_line(score("m", **changes)) == line

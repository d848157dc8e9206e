"""Experiments: a catalogue of one's own by upload, what is permitted, and which rows it can run."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from streamlit.testing.v1 import AppTest

from hitcore.catalogue.attributes import read_attributes
from hitcore.catalogue.scores import scale_of
from hitcore.catalogue.tableheads import read_head
from hitcore.catalogue.workspace import Workspace
from hitcore.errors import DataError, HitcoreError, ParameterError
from hitcore.experiments import VARIANTS, ExperimentConfig, run_experiment
from hitcore.experiments.data import usable_rows
from hitcore.featurestore import create_scored
from ui.experiments import audioroots, catalogue, form
from ui.server import workspaces

PAGE = Path(__file__).resolve().parents[2] / "pages" / "experiments.py"
N = 12


def table(**columns: object) -> pd.DataFrame:
    """Twelve songs; columns replace or add, None leaves out."""
    content = {
        "track": [f"s{i}" for i in range(N)],
        "artist": [f"Artist {i % 4}" for i in range(N)],
        "year": [1980 + i for i in range(N)],
        "popularity": [5 * i + 1 for i in range(N)],
        "tempo": [90.5 + i for i in range(N)],
        **columns,
    }
    return pd.DataFrame({name: values for name, values in content.items() if values is not None})


def csv(**columns: object) -> bytes:
    return table(**columns).to_csv(index=False).encode()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of workspaces, empty; no folder of sound is permitted."""
    monkeypatch.setenv("HITCORE_WORKSPACES", str(tmp_path / "w"))
    monkeypatch.delenv(audioroots.VARIABLE, raising=False)
    return tmp_path / "w"


@pytest.fixture
def music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A permitted folder with the sound of every song but the last."""
    folder = tmp_path / "music"
    (folder / "album").mkdir(parents=True)
    for i in range(N - 1):
        tone = 0.1 * np.sin(2 * np.pi * (200 + 20 * i) * np.arange(2205) / 22050)
        soundfile.write(folder / "album" / f"s{i}.wav", tone, 22050)
    monkeypatch.setenv(audioroots.VARIABLE, str(folder))
    return folder


def make(content: bytes, **settings: object) -> object:
    asked = {"song_id": "track", "score": "popularity", "attributes": [], "name": "mine"}
    return catalogue.make(
        file_name="My songs.csv",
        content=content,
        **(asked | settings),  # type: ignore[arg-type]
    )


def test_a_table_becomes_a_catalogue_on_the_page_and_its_rows_are_offered(root: Path) -> None:
    app = AppTest.from_file(str(PAGE), default_timeout=60).run()
    app.file_uploader(key="own-table").upload("songs.csv", csv(), "text/csv").run()
    assert not app.exception
    shown = next(each.value for each in app.dataframe if "tempo" in each.value.columns)
    assert shown["track"].tolist() == ["s0", "s1", "s2", "s3", "s4"]
    assert app.selectbox(key="own-score").value == "popularity"
    assert app.multiselect(key="own-attributes").options == ["year", "tempo"]
    captions = " ".join(each.value for each in app.caption)
    assert "HITCORE_AUDIO_ROOTS" in captions, "no folder is permitted, and the form says how"
    app.selectbox(key="own-id").set_value("track")
    app.multiselect(key="own-attributes").set_value(["tempo"])
    app.button(key="own-create").click().run()
    assert not app.exception
    assert not app.error
    made = Workspace.open(root / "mine")
    assert read_attributes(made).names == ("tempo",)
    assert scale_of(made).column == "popularity"
    assert "12 songs with a number, 0 of them with sound" in app.success[0].value
    assert app.selectbox(key="workspace").value == "mine"
    rows = app.button_group[0]
    assert set(rows.value) == {"attr-rating", "attr-naive", "attr-ab"}
    assert len(rows.options) == len(usable_rows(made)) < len(VARIANTS)
    assert "no sound" in " ".join(each.value for each in app.caption)


def test_rows_follow_what_a_catalogue_has(root: Path, music: Path, tmp_path: Path) -> None:
    songs = tmp_path / "songs.csv"
    songs.write_bytes(csv(artist=None, year=None, genre=["Rock", "Jazz"] * (N // 2)))
    silent = create_scored(tmp_path / "a", songs, mapping={"song_id": "track"})
    assert usable_rows(silent.workspace) == ("genre",)
    songs.write_bytes(csv())
    heard = create_scored(
        tmp_path / "b", songs, audio=music, mapping={"song_id": "track"}, skip_bad_rows=True
    )
    rows = set(usable_rows(heard.workspace))
    assert {"a", "j", "l", "tags", "artist-prior", "release-year", "decade"} <= rows
    assert not {"genre", "attr-naive", "attr-ab-artist"} & rows
    assert form.why_not(heard.workspace, list(rows)) == "no attributes, no genres"
    # What is offered runs, and what is not offered could not.
    run_experiment(heard.workspace, ["decade"], ExperimentConfig(n_folds=3))
    with pytest.raises(DataError, match="no attributes"):
        run_experiment(heard.workspace, ["attr-naive"], ExperimentConfig(n_folds=3))


def test_sound_comes_from_permitted_folders_alone(
    root: Path, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(csv(), folder=f"{music}/album", skip_bad_rows=True)
    assert (made.n_songs, made.n_with_sound, made.n_left_out) == (N - 1, N - 1, 1)
    assert audioroots.permitted("album") == (music / "album").resolve()
    (tmp_path / "other").mkdir()
    (music / "way out").symlink_to(tmp_path / "other")
    refused = [tmp_path / "other", f"{music}/../other", "../other", music / "way out", "/", "\0",
               tmp_path / "absent", f"{music}-2", "x" * 5000]  # fmt: skip
    said = set()
    for path in refused:
        with pytest.raises(ParameterError, match=r"a folder below .* is expected") as caught:
            make(csv(), name="n", folder=str(path))
        said.add(str(caught.value).split(": ", 1)[1])
    assert len(said) == 1, "what exists is not told from what does not"
    with pytest.raises(DataError, match="inside the folder of sound files"):
        make(csv(source=["../other/x.wav"] * N), name="n", folder=str(music))
    monkeypatch.setenv(audioroots.VARIABLE, os.pathsep.join(["relative", str(tmp_path / "absent")]))
    assert audioroots.roots() == []
    with pytest.raises(ParameterError, match="no folder of sound is permitted"):
        make(csv(), name="n", folder=str(music))
    assert workspaces.names() == ["mine"]


BAD: dict[str, tuple[dict[str, object], str]] = {
    "text": ({"popularity": ["many", *range(1, N)]}, "popularity of song 's0' is 'many'"),
    "negative": ({"popularity": [-1, *range(1, N)]}, "is '-1'"),
    "too large": ({"popularity": [10**12, *range(1, N)]}, "a number from 0 to 100"),
    "nan": ({"popularity": [np.nan, *range(1, N)]}, "is (empty|'nan')"),
    "twice": ({"track": ["s1", *[f"s{i}" for i in range(1, N)]]}, "stands at"),
    "without sound": ({}, "1 of 12 songs of My songs.csv have no sound"),
    "an attribute of text": ({"tempo": ["fast"] * N}, "tempo of song 's0' is 'fast'"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_one_line_in_the_pages_words_and_leaves_nothing(
    root: Path, music: Path, case: str
) -> None:
    columns, said = BAD[case]
    attributes = ["tempo"] if "attribute" in case else []
    folder = str(music) if case == "without sound" else ""
    with pytest.raises(HitcoreError, match=said) as caught:
        make(csv(**columns), attributes=attributes, folder=folder)
    message = str(caught.value)
    assert "\n" not in message
    assert "--" not in message, "no words of the command line"
    assert "hitcore-table" not in message, "nor places of the server"
    assert not root.exists() or not list(root.iterdir())


@pytest.mark.parametrize("name", ["", "../x", "a b", ".hidden", "<b>", "x" * 41])
def test_a_catalogue_has_a_plain_name(root: Path, name: str) -> None:
    with pytest.raises(ParameterError, match="letters, digits"):
        make(csv(), name=name)
    assert not root.exists() or not list(root.iterdir())


def test_a_name_that_is_taken_keeps_what_is_there(root: Path) -> None:
    make(csv())
    before = (root / "mine" / "songs.parquet").read_bytes()
    with pytest.raises(ParameterError, match="already"):
        make(csv(popularity=range(N)))
    assert (root / "mine" / "songs.parquet").read_bytes() == before


def test_the_head_of_a_table_is_read_as_the_table_is(tmp_path: Path) -> None:
    file = tmp_path / "songs.csv"
    file.write_text('sep=;\nTrack ID;Popularity;note\nß;9;"a;b"\nc;7,5;d\n', encoding="utf-8")
    head = read_head(file)
    assert (head.song_id, head.scores) == ("Track ID", ("Popularity",))
    assert head.rows["note"].tolist() == ["a;b", "d"]
    assert "note" not in head.numbers
    table().to_parquet(tmp_path / "songs.parquet")
    assert read_head(tmp_path / "songs.parquet").numbers == ("year", "popularity", "tempo")
    for content, said in ((b"a,b\n", "no rows"), (b"", "nothing|no rows|empty"),
                          (b"a,a\n1,2\n", "two columns"), (b"\xff\xfe\x00", "UTF"),
                          (b"PAR1" + b"\0" * 40, "bad")):  # fmt: skip
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(DataError, match=said):
            read_head(tmp_path / "bad")

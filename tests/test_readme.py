"""What the README shows runs as it stands."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hitcore import weights
from hitcore.audio import Waveform, encode

README = Path(__file__).resolve().parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the README's lines name."""
    if not weights.is_installed("musicnn-mtt"):
        pytest.skip("the tagger's weights are not installed: make weights")
    rng = np.random.default_rng(0)
    tone = np.sin(np.arange(35 * 22_050) / 20) * rng.uniform(0.5, 1, 35 * 22_050)
    # The name says MP3, the content is WAV: content is what counts.
    (tmp_path / "song.mp3").write_bytes(encode(Waveform(tone.astype(np.float32), 22_050)))
    days = [f"2016-{month:02d}-{day:02d}" for month in range(1, 6) for day in range(1, 29)]
    lines = [f"s{song},{day},{10 * song + 1}" for song in range(3) for day in days]
    (tmp_path / "plays.csv").write_text("song_id,date,plays\n" + "\n".join(lines) + "\n")
    songs = "".join(f"s{song},Song {song},2016-01-0{song + 1}\n" for song in range(3))
    (tmp_path / "songs.csv").write_text("song_id,title,release_date\n" + songs)
    pairs = "\n".join(f"{(n + 1) / 1000},{n % 7}" for n in range(40))
    (tmp_path / "predictions.csv").write_text(f"y_true,y_score\n{pairs}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_lines_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python")
    assert len(code.splitlines()) <= 15
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "song" in capsys.readouterr().out
    assert 0 < names["ndcg"] <= 1  # type: ignore[operator]


def test_the_command_lines_run(folder: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("hitcore") and "import" not in line]
    assert len(commands) == 5
    outputs = {}
    for command in commands:
        words = [sys.executable, "-m", "hitcore", *shlex.split(command)[1:]]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        outputs[words[3]] = done.stdout
    highlight = json.loads(outputs["analyse"])["highlight"]
    assert highlight["end"] - highlight["start"] == 30
    assert set(json.loads(outputs["evaluate"])) >= {"ndcg", "kendall", "spearman"}
    assert (folder / "scores.csv").read_text().startswith("song_id,hit_score")

"""Every tutorial's code runs, from top to bottom, in an empty folder."""

import re
from pathlib import Path

import numpy as np
import pytest

from hitcore import weights
from hitcore.audio import Waveform, encode

TUTORIALS = sorted((Path(__file__).resolve().parent.parent / "docs" / "tutorials").glob("*.md"))


def test_there_are_five() -> None:
    assert len(TUTORIALS) == 5


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_its_code_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not weights.is_installed("musicnn-mtt"):
        pytest.skip("the tagger's weights are not installed: make weights")
    tone = np.sin(np.arange(35 * 22_050) / 20).astype(np.float32)
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "tone.wav").write_bytes(encode(Waveform(tone / 2, 22_050)))
    (tmp_path / "songs" / "text.mp3").write_text("no sound")
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL))
    names: dict[str, object] = {"__name__": page.stem.replace("-", "_")}
    exec(compile(code, page.name, "exec"), names)
    out = capsys.readouterr().out
    if page.stem == "score-a-folder":
        assert "text.mp3" in out
        assert "tone" in out
    if page.stem == "play-log-to-fig-3":
        assert "below the mean; Gini" in out

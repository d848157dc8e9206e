"""Models: one table with what was measured, the card of the row that is chosen."""

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from hitcore.evaluation import Reference
from ui.models import table

PAGE = Path(__file__).resolve().parents[2] / "pages" / "models.py"


def test_the_table_says_what_was_measured_and_the_first_row_has_its_card() -> None:
    app = AppTest.from_file(str(PAGE), default_timeout=120).run()
    assert not app.exception
    shown = app.dataframe[0].value.set_index("Name")
    assert shown.loc["demo-j", "Measured"].startswith("Spearman's ρ 0.")
    assert "1,977 songs" in shown.loc["demo-j", "Measured"]
    assert shown.loc["musicnn-mtt", "Measured"] == "not measured here"
    first = app.dataframe[0].value.iloc[0]
    assert app.subheader[0].value.replace("\\", "") == first["Model"]
    assert len(app.subheader) == 1  # one card, not a page of them


def test_the_table_is_there_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen = [], []
    monkeypatch.setattr(table, "_measured", dict[tuple[str, str], str])

    def measure(name: str) -> str:
        made.append(name)
        assert len(seen) == len(made), "shown before each"
        return f"measured {len(made)}"

    monkeypatch.setattr(table, "_measure", measure)
    found = table.cards(lambda cards: seen.append([card.measured for card in cards]))
    assert len(made) > 3
    assert seen[0].count(table.TO_MEASURE) == len(made), "all rows, none measured"
    assert [column.count(table.TO_MEASURE) for column in seen] == list(range(len(made), 0, -1))
    assert {"measured 1", "measured 2"} < {card.measured for card in found}
    assert table.TO_MEASURE not in {card.measured for card in found}


def test_agreement_is_of_places_within_each_fold() -> None:
    truth = np.arange(200.0)
    fold = np.arange(200) % 2
    # The second fold's network has another scale: pooled scores would agree far less.
    perfect = table.agreement(Reference(fold, truth + 1e6 * fold, truth))
    assert perfect.startswith("Spearman's ρ 1.00 [1.00, 1.00] over 200")
    reversed_ = table.agreement(Reference(fold, -truth + 1e6 * fold, truth))
    assert reversed_.startswith("Spearman's ρ -1.00")


@pytest.mark.parametrize("seed", [0, 1])
def test_agreement_of_chance_includes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = table.agreement(Reference(np.zeros(300, int), rng.random(300), rng.random(300)))
    low, high = (float(part) for part in words.split("[")[1].split("]")[0].split(","))
    assert low < 0 < high

"""The Models page: all models in one table, and the card of the one that was chosen in it."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from scipy.stats import rankdata

from hitcore import weights
from hitcore.analysis.song import default_models
from hitcore.audio import walls
from hitcore.errors import HitcoreError
from hitcore.evaluation import bootstrap_interval
from hitcore.networks.cards import load_card
from hitcore.networks.models import load_model
from hitcore.weights import WeightsStatus
from ui.frame import ensembles, modelcards
from ui.frame.page import error_boundary, plain, show_error

FETCH_LIMIT_S = 60.0
KINDS = {"hit model": "Hit model", "tagger": "Tagger", "highlighter": "Highlight model"}
USED_ON = {"Hit model": "Analyse, Compare", "Tagger": "Analyse", "Highlight model": "Analyse"}
STATES = {"installed": "installed", "absent": "absent", "damaged": "damaged"}
HERE = "trained here"
TO_MEASURE = "measuring …"
N_RESAMPLES = 400


@dataclass(frozen=True)
class Card:
    """What the page says of one model."""

    name: str
    """What it is loaded by."""
    title: str
    """What people call it."""
    kind: str
    """What it does."""
    state: str
    """Installed, absent, damaged, or trained here."""
    measured: str
    """How well it does on songs that it had not seen, with the interval; what is not known is
    said to be not known."""
    facts: dict[str, str]
    """Data, licence, source and limits."""
    checksum: str | None
    """Of its tensors."""
    status: WeightsStatus | None
    """The state of named weights; None for an ensemble that was trained here."""


def cards(show: Callable[[list[Card]], object] | None = None) -> list[Card]:
    """Every named weight, as it is on disk now, and every ensemble that was trained here.

    Args:
        show: Called with the cards as far as they are known, before each one that has to be
            measured first; that takes a second or more each.
    """
    found = [_card(row) for row in sorted(weights.status(), key=_order)]
    marks = {card.name: card.checksum or "" for card in found if card.measured == TO_MEASURE}
    for each in ensembles.trained():
        facts = {"Learned from": f"the workspace {each.workspace}, row {each.row}"}
        found.append(Card(each.name, each.title, "Hit model", HERE, TO_MEASURE, facts, None, None))
        marks[each.name] = ensembles.mark_of(each)
    known = _measured()
    for unknown in (False, True):  # what is known already first
        for i, card in enumerate(found):
            key = (card.name, marks.get(card.name, ""))
            if card.measured != TO_MEASURE or (key not in known) != unknown:
                continue
            if unknown:
                if show is not None:
                    show(found)
                known[key] = _measure(card.name)
            found[i] = replace(card, measured=known[key] or "not measured here")
    return found


def table(found: list[Card]) -> pd.DataFrame:
    """All models, one line each."""
    return pd.DataFrame(
        [
            {
                "Model": card.title or card.name,
                "Measured": card.measured,
                "Does": card.kind,
                "State": card.state,
                "Licence": card.facts.get("Licence", ""),
                "MB": card.status.n_bytes / 1e6 if card.status and card.status.n_bytes else None,
                "Name": card.name,
            }
            for card in found
        ]
    )


def choose() -> Card:
    """Show the table; the card that is chosen in it, the first one to begin with.

    The table is there at once, and figures that have to be measured first fill in one by one.
    """
    place = st.empty()
    found = cards(lambda known: place.dataframe(table(known), **_look()))
    with place.container():
        state = st.dataframe(
            table(found),
            on_select="rerun",
            selection_mode="single-row-required",
            selection_default={"selection": {"rows": [0]}},
            key="models",
            **_look(),
        )
    rows = state["selection"]["rows"]
    return found[rows[0]] if rows and rows[0] < len(found) else found[0]


def _look() -> dict[str, Any]:
    """How the table looks, while it fills and afterwards."""
    return {
        "hide_index": True,
        "height": "content",
        "placeholder": "",
        "column_config": {
            "Model": st.column_config.TextColumn("Model", width=255),
            "Measured": st.column_config.TextColumn("Measured on songs it had not seen", width=435),
            "Does": st.column_config.TextColumn("Does", width=120),
            "State": st.column_config.TextColumn("State", width=85),
            "Licence": st.column_config.TextColumn("Licence", width=150),
            "MB": st.column_config.NumberColumn("MB", format="%.2f", width=65),
        },
        "alt": "All models: purpose, state, measured figures, licence and size.",
    }


def decoders() -> None:
    """Say which wall is missing around the decoders of songs; nothing where none is."""
    stand = walls()
    if not (stand.seccomp and stand.landlock):
        st.caption(plain(f"Songs: {stand.sentence}. {stand.advice}".strip()))


def show(card: Card) -> None:
    """One model: its figures, its terms, its limits, and the way to get it."""
    st.subheader(plain(card.title or card.name), anchor=False)
    st.caption(plain(f"{card.kind} · {card.name} · {card.state}"))
    facts = {"Measured": card.measured, **card.facts, "Used on": USED_ON.get(card.kind, "")}
    st.table(
        {label: plain(text) for label, text in facts.items() if text},
        border="horizontal",
        alt=f"What is known of {card.name}",
    )
    modelcards.folded(card.name)
    if card.checksum:
        st.code(f"sha256 {card.checksum}", language=None, wrap_lines=True)
    if card.status is not None and card.status.state != "installed":
        _get(card.status)


def card_of_a_file() -> None:
    """The card that travels in a model's file, for whoever was given one."""
    upload = st.file_uploader(
        "Read the card of a model's file", type="safetensors", key="model-file",
        help="Such as `hitcore experiment export` writes. The file is read here and not kept.",
    )  # fmt: skip
    if upload is None:
        return
    with tempfile.TemporaryDirectory() as folder, error_boundary():
        path = Path(folder) / "model.safetensors"
        path.write_bytes(upload.getvalue())
        found = load_card(path)
        if found is None:
            raise HitcoreError("this model's file has no card: nobody wrote down how to trust it")
        st.subheader(plain(found.name), anchor=False)
        modelcards.sections(found)


# --- what is known of a model --------------------------------------------------------------------


def _order(row: WeightsStatus) -> tuple[int, int, bool]:
    """Hit models first; of each kind what is installed, and of that what knows real songs."""
    kinds = list(KINDS)
    kind = kinds.index(row.kind) if row.kind in kinds else len(kinds)
    usual = default_models()[0]
    place = usual.index(row.name) if row.name in usual else len(usual)
    return kind, place, row.state != "installed"


def _card(row: WeightsStatus) -> Card:
    facts = {
        "Learned from": row.trained_on,
        "Licence": row.licence,
        "Source": row.source,
        "Limits": row.limits,
    }
    measured = ""
    if row.kind == "hit model" and row.state == "installed":
        measured = TO_MEASURE
    elif row.state == "installed" and (known := load_card(row.name)) is not None:
        measured = "; ".join(map(str, known.evaluation))
    return Card(
        row.name,
        row.title,
        KINDS.get(row.kind, row.kind),
        STATES.get(row.state, row.state),
        measured or "not measured here",
        {label: str(text) for label, text in facts.items() if text},
        row.checksum,
        row,
    )


@st.cache_resource(show_spinner=False)
def _measured() -> dict[tuple[str, str], str]:
    """What was measured on this server, by a model's name and what changes when the model does."""
    return {}


def _measure(name: str) -> str:
    """How far a hit model's order agrees with the true one, over the songs of its catalogue."""
    try:
        model = load_model(ensembles.model_of(name))
    except HitcoreError:
        return ""
    if model.spec.measured:  # what its training script measured, as Analyse says it
        return model.spec.measured
    return "" if model.reference is None else agreement(model.reference)


def agreement(reference: object) -> str:
    """Spearman's ρ of the out-of-fold places with the hit scores, and its 95 % interval."""
    fold, score, truth = (
        np.asarray(getattr(reference, name)) for name in ("fold", "score", "hit_score")
    )
    places = np.empty(len(score))
    for one in np.unique(fold):  # each fold's network has a scale of its own
        rows = fold == one
        places[rows] = rankdata(score[rows]) / rows.sum()
    found = bootstrap_interval(
        lambda one, other: float(np.corrcoef(rankdata(one), rankdata(other))[0, 1]),
        places,
        truth,
        n_resamples=N_RESAMPLES,
    )
    interval = f"[{found.low:.2f}, {found.high:.2f}]"
    return f"Spearman's ρ {found.estimate:.2f} {interval} over {len(truth):,} songs"


# --- getting one ---------------------------------------------------------------------------------


def _get(row: WeightsStatus) -> None:
    """Fetch it, or import it from a copy."""
    if row.message:
        st.markdown(plain(row.message))
    entry = weights.REGISTRY.get(row.name)
    if entry is None:
        return
    if entry.fetchable and st.button("Fetch", key=f"fetch-{row.name}", icon=":material/download:"):
        with st.status(f"Fetching {row.name}, at most {FETCH_LIMIT_S:.0f} s"):
            _attempt(lambda: weights.fetch(row.name, FETCH_LIMIT_S))
    files = st.file_uploader(
        f"Or import {row.name} from your copy of its files",
        accept_multiple_files=True,
        key=f"import-{row.name}",
    )
    if files and st.button("Import", key=f"do-import-{row.name}", icon=":material/upload:"):
        with tempfile.TemporaryDirectory() as folder:
            for upload in files:
                # The base name alone, and only where it is one that this entry knows.
                known = {Path(file.path).name for file in entry.files}
                name = Path(upload.name).name
                if name in known:
                    (Path(folder) / name).write_bytes(upload.getvalue())
            _attempt(lambda: weights.import_local(row.name, folder))


def _attempt(action: object) -> None:
    try:
        action()  # type: ignore[operator]
    except HitcoreError as error:
        show_error(error)
    else:
        st.rerun()

"""A model card on a page: the headings that its training script wrote, letter by letter."""

import streamlit as st

from hitcore.networks.cards import ModelCard, load_card
from ui.frame import ensembles
from ui.frame.page import error_boundary, plain


def sections(card: ModelCard) -> None:
    """Every heading with its text."""
    for heading, text in card.sections():
        st.markdown(f"**{heading}**")
        for line in text.splitlines():
            st.markdown(("- " if line.startswith("- ") else "") + plain(line.removeprefix("- ")))


def folded(name: str) -> None:
    """The card of a model of `ensembles.titles`, folded away; nothing where it has none."""
    with error_boundary():
        if (card := _card_of(name)) is not None:
            with st.expander("Model card", icon=":material/description:"):
                sections(card)


def behind_a_button(name: str) -> None:
    """The same where there is little room."""
    with error_boundary():
        if (card := _card_of(name)) is not None:
            with st.popover("Model card", icon=":material/description:", type="tertiary"):
                sections(card)


def _card_of(name: str) -> ModelCard | None:
    return load_card(ensembles.model_of(name))

"""Colours that mean the same on every page, in the light and in the dark theme.

The accent stands for *the highlight* (and for A/B sampling, the paper's best); everything else is
grey until it means something. The categories are told apart by people with every common form of
colour blindness; ordered values use one perceptual scale.
"""

from dataclasses import dataclass

import streamlit as st

ORDERED_SCALE = "cividis"
"""Name of the perceptual scale for ordered values, in Vega's and Plotly's vocabulary alike."""


@dataclass(frozen=True)
class Palette:
    """The colours of one theme, as hexadecimal RGB."""

    accent: str
    """The highlight, wherever it appears."""
    ink: str
    """Text and the data that matters."""
    grey: str
    """Data that serves as background."""
    faint: str
    """Lines of a grid, areas behind data."""
    paper: str
    """The page itself."""
    blue: str
    violet: str
    green: str

    def sampler(self, name: str) -> str:
        """The colour of a pair-sampling method: the same one on every page."""
        colours = {
            "naive": self.grey,
            "ab": self.accent,
            "artist": self.blue,
            "ab+artist": self.violet,
        }
        return colours.get(name, self.ink)


LIGHT = Palette(
    accent="#A83A25",
    ink="#161412",
    grey="#74706B",
    faint="#DDD8CF",
    paper="#FFFFFF",
    blue="#2F6F8F",
    violet="#7A6A9B",
    green="#3F7F5F",
)
DARK = Palette(
    accent="#F08A6C",
    ink="#ECE8E1",
    grey="#8A8782",
    faint="#3A3733",
    paper="#161514",
    blue="#74B3D1",
    violet="#B5A6D6",
    green="#7FC4A0",
)


def palette() -> Palette:
    """The palette of the theme that the visitor sees now."""
    return DARK if st.context.theme.type == "dark" else LIGHT

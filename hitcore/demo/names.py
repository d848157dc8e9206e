"""Invented names of artists and songs."""

import numpy as np


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST = _words("""
    Ada Bo Cleo Dario Edda Fenn Gala Hollis Ines Juno Kit Lale Milo Nia Odin Pia Quill Rhea Soren
    Tove Uma Vico Wren Xenia Yara Zeno Amity Bram Coral Dune Ember Flint Goldie Harlow Indigo Jory
""")
_LAST = _words("""
    Alder Brisk Calder Dray Everly Faro Grove Hale Iver Jessop Kestrel Lorne Marlow Norde Ost
    Pell Quade Rowe Sable Thorne Umber Vale Wick Yarrow Zell Ashdown Birch Crane Dove Frost
""")
_ADJECTIVES = _words("""
    Paper Silver Quiet Velvet Northern Electric Hollow Golden Distant Crooked Salt Neon Little
    Second Plastic Wooden Late Blue Glass Honest
""")
_NOUNS = _words("""
    Lanterns Harbours Foxes Satellites Gardens Mirrors Tigers Avenues Weekends Orchards Engines
    Sparrows Islands Parades Choirs Rivers Machines Letters Kites Arcades
""")
_OPENINGS = _words("""
    Summer Midnight Paper Golden Broken Electric Holding Chasing Losing Dancing Waiting Running
    Falling Burning Calling Dreaming Never Always Maybe Almost
""")
_CLOSINGS = _words("""
    Lights Hearts Sunday Highway Morning Fire Water Ocean Colours Love Shadows Radio Stars Rain
    Summer Ghosts Gold Silence Gravity Echoes
""")


def artist_name(rng: np.random.Generator) -> str:
    """A name for a singer or a band.

    Example:
        >>> bool(artist_name(np.random.default_rng(0)))
        True
    """
    first, last, noun = (_pick(words, rng) for words in (_FIRST, _LAST, _NOUNS))
    band = f"{_pick(_ADJECTIVES, rng)} {noun}"
    forms = (f"{first} {last}", f"The {band}", band, f"{first} & the {noun}", first.upper())
    return forms[int(rng.choice(5, p=[0.5, 0.15, 0.15, 0.1, 0.1]))]


def song_title(rng: np.random.Generator) -> str:
    """A title for a song.

    Example:
        >>> bool(song_title(np.random.default_rng(0)))
        True
    """
    opening, closing = _pick(_OPENINGS, rng), _pick(_CLOSINGS, rng)
    forms = (f"{opening} {closing}", closing, opening, f"{opening} the {closing}")
    return forms[int(rng.choice(4, p=[0.6, 0.15, 0.1, 0.15]))]


def _pick(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]

"""Every choice of the Compare page stands in its address, so that a view can be shared."""

from collections.abc import Sequence

import streamlit as st


def start(key: str, options: Sequence[str], default: str) -> int:
    """The place of the option that the address names; that of the default where it names none."""
    asked = st.query_params.get(key, default)
    return list(options).index(asked if asked in options else default)


def note(key: str, chosen: str, default: str) -> str:
    """Write a choice into the address; what is chosen anyway stays out of it."""
    if chosen == default:
        st.query_params.pop(key, None)
    elif st.query_params.get(key) != chosen:
        st.query_params[key] = chosen
    return chosen

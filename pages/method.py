"""Method: the paper on one page, what was decided where it is silent, and what this cannot tell."""

import streamlit as st

from ui.frame import page
from ui.method import page as method

page.header(
    "Method",
    "How a song becomes a hit score: the paper on one page, what we decided where it is silent, "
    "and what the app cannot tell you.",
    "after Yu, Yang, Hung, Chen (2017)",
)

st.subheader("The way of the data", anchor="data")
picture, words = st.columns([2, 3], gap="medium", vertical_alignment="center")
picture.graphviz_chart(method.data_flow(), width="content")
words.markdown(
    "Read from top to bottom: two ways into the network (sound and plays), one way out.\n\n"
    "Every arrow is one public function of the library, whose input and output can be looked at."
)

st.subheader("What is learned", anchor="equations")
for equation in method.EQUATIONS:
    words, formula = st.columns([2, 3], vertical_alignment="center")
    words.markdown(f"**{equation.name}** ({equation.number})  \n{equation.words}")
    formula.latex(equation.latex)

st.subheader("Which pairs are compared", anchor="pairs")
for column, (name, text) in zip(st.columns(3), method.SAMPLERS, strict=True):
    column.markdown(f"**{name}**  \n{text}")

st.subheader("What counts as a hit", anchor="hit-score")
st.markdown(method.HIT_SCORE)

st.subheader("How a model is judged", anchor="metrics")
st.markdown(method.METRICS)

st.subheader("Decided where the paper is silent", anchor="decisions")
st.table(method.decisions())

st.subheader("What this cannot tell you", anchor="limits")
for limit in method.LIMITS:
    st.markdown(f"- {limit}")

st.subheader("References", anchor="references")
for reference in method.REFERENCES:
    st.markdown(f"- {reference}")

"""The words and pictures of the Method page."""

from dataclasses import dataclass

import pandas as pd

from ui.frame.theme import palette


@dataclass(frozen=True)
class Equation:
    """One equation of the paper: its name, its number, what it says, and its form."""

    name: str
    number: str
    words: str
    latex: str


EQUATIONS = (
    Equation(
        "Rating",
        "eq. 1",
        "Come close to each song's hit score: the mean squared error.",
        r"\mathrm{loss}_{\mathrm{rate}}=\frac1N\sum_n\lVert y_n-f_\Theta(\mathbf x_n)\rVert_2^2",
    ),
    Equation(
        "Ranking",
        "eq. 2",
        "Of two songs, score the more popular one higher, by at least the margin m. "
        "δ is +1 where the first song is at least as popular, else −1.",
        # On two lines: on one it is wider than a phone.
        r"\begin{aligned}\mathrm{loss}_{\mathrm{rank}}=\frac1P\sum_{i,j}&\max\bigl(0,\;m-{}\\"
        r"&\delta(y_i,y_j)\,(f_\Theta(\mathbf x_i)-f_\Theta(\mathbf x_j))\bigr)\end{aligned}",
    ),
    Equation(
        "Both",
        "eq. 3",
        "Rate and rank together; w says how much the ranking counts.",
        r"\mathrm{loss}_{\mathrm{multi}}=(1-w)\,\mathrm{loss}_{\mathrm{rate}}"
        r"+w\,\mathrm{loss}_{\mathrm{rank}}",
    ),
    Equation(
        "Sound and tags",
        "eq. 4",
        "A second, small network reads 50 tag activations g(x); μ says how much it counts.",
        r"f(\mathbf x)=(1-\mu)\,f_\Theta(\mathbf x)+\mu\,f_\Phi(g(\mathbf x))",
    ),
)

SAMPLERS = (
    (
        "Naive",
        "Any two songs. In a long tail most pairs are then two unpopular songs, whose order is "
        "mostly noise.",
    ),
    (
        "A/B",
        "At least one of the two is popular (group A: above the mean hit score of the training "
        "songs). No effort goes into sorting the tail.",
    ),
    (
        "Artist",
        "Both songs share an artist, so fame cannot explain the difference. Averaged with A/B it "
        "is the paper's last pair of rows.",
    ),
)

HIT_SCORE = (
    "The **hit score** of a song is its share of all plays on the 60th day after its release "
    "(day 60). Early bursts by promotion are over by then, and old songs have no head start, as "
    "they have in cumulative counts. Where the log has no row for that day the share is 0; where "
    "the day lies outside the log the score is undefined, never 0. Networks learn "
    "$y = -1/\\log_{10}(\\mathrm{share})$, which spreads the long tail; the transform is undone "
    "for every share that you see."
)

METRICS = (
    "All three measures look at the **top 10 %** of the test songs. "
    "**nDCG@10 %**: how much of the plays of the true top list does the predicted top list "
    "collect, the first ranks counting most (1 is perfect). "
    "**Kendall's τ@10 %** and **Spearman's ρ@10 %**: among the songs that really are in the top "
    "10 %, does the predicted order agree with the true one (1: the same order, 0: no relation, "
    "−1: reversed). Each is a mean over ten folds: every song is tested once, by a model that has "
    "not seen it."
)

LIMITS = (
    "Sound explains only a part of popularity. Artist, promotion, season and luck are not in the "
    "audio; the baselines *artist prior* and *release year only* stand beside every model for "
    "that reason.",
    "A model knows the market it was trained on. The published network learned from KKBOX "
    "listeners in 2016 and 2017; the demo models learned from synthetic songs and say nothing "
    "about real ones.",
    "With songs of one artist in both training and test, every model looks better than it is on "
    "new artists. Artist-disjoint folds show by how much.",
    "The highlight is a guess at what matters. Listen to it; move it; look how the score follows.",
    "A percentile is a place among the songs of one catalogue, not a promise of plays.",
)

REFERENCES = (
    "L.-C. Yu, Y.-H. Yang, Y.-N. Hung, Y.-A. Chen: *Hit Song Prediction for Pop Music by Siamese "
    "CNN with Ranking Loss*, 2017: the paper.",
    "L.-C. Yang, S.-Y. Chou, J.-Y. Liu, Y.-H. Yang, Y.-A. Chen: *Revisiting the Problem of "
    "Audio-Based Hit Song Prediction Using Convolutional Neural Networks*, ICASSP 2017: the "
    "earlier work, with the linear and Inception baselines.",
    "Y.-S. Huang, S.-Y. Chou, Y.-H. Yang: *Pop Music Highlighter: Marking the Emotion Keypoints*, "
    "TISMIR 2018: attention for highlights.",
    "J.-Y. Liu, Y.-H. Yang: *Event Localization in Music Auto-Tagging*, ACM MM 2016: JYnet.",
    "J. Pons, X. Serra: *musicnn: Pre-trained Convolutional Neural Networks for Music Audio "
    "Tagging*, ISMIR 2019 late-breaking: musicnn.",
    "E. Law, K. West, M. Mandel, M. Bay, J. S. Downie: *Evaluation of Algorithms Using Games: The "
    "Case of Music Tagging*, ISMIR 2009: MagnaTagATune.",
)


def decisions() -> pd.DataFrame:
    """What the paper leaves open and how it is settled here."""
    rows = [
        ("Compression of the mel spectrogram", "ln(1 + 10,000·S), after the paper's reference 18"),
        ("The published network's input", "raw power mel with a Hann window, as measured on it"),
        ("Group A of A/B sampling", "raw hit score above the mean of the training songs"),
        ("m, w, μ and the fusion weight", "best nDCG@10 % on the validation fold, ties by Kendall"),
        ("Folds", "song-disjoint as in the paper; artist-disjoint selectable"),
        ("Undefined metrics", "reported as undefined (NaN), never as 0"),
        ("The tagger", "musicnn where JYnet's weights are not at hand; the same 50 tags, by name"),
    ]
    return pd.DataFrame(rows, columns=["Where the paper is silent", "Decided"]).set_index(
        "Where the paper is silent"
    )


def data_flow() -> str:
    """The way of the data as a Graphviz picture in the colours of the theme.

    From top to bottom: from left to right its words would be too small on a phone.
    """
    colours = palette()
    return f"""
    digraph {{
      rankdir=TB; bgcolor="transparent"; nodesep=0.2; ranksep=0.3;
      node [shape=box, style="rounded", fontname="Source Sans 3, Source Sans Pro, sans-serif",
            fontsize=12, color="{colours.grey}", fontcolor="{colours.ink}", margin="0.14,0.08"];
      edge [color="{colours.grey}", arrowsize=0.6];
      log [label="play log"]; share [label="daily share"]; hit [label="hit score\\n(day 60)"];
      song [label="song"]; highlight [label="highlight\\n30 s", color="{colours.accent}",
            fontcolor="{colours.accent}", penwidth=1.6];
      mel [label="log-mel\\n128 × 323"]; tags [label="50 tags"];
      cnn [label="CNN\\nf(x)"]; dnn [label="tag network\\nf(g(x))"];
      score [label="score"]; metrics [label="metrics @10 %"]; report [label="report"];
      log -> share -> hit;
      song -> highlight; highlight -> mel -> cnn -> score; highlight -> tags -> dnn -> score;
      hit -> cnn [label="pairs, losses", fontsize=10, fontcolor="{colours.grey}", style=dashed];
      score -> metrics; score -> report;
    }}
    """

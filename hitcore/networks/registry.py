"""Every network by its name: whatever trains, saves or lists networks looks here.

A network is added by its class and one line below. One with a stacked form trains many at a time;
any other trains alone, by the plain loop.
"""

from hitcore.networks.hitnet import (
    AudioNetwork,
    HitCNN,
    InceptionCNN,
    LinearRater,
    TagDNN,
    TagNetwork,
)
from hitcore.networks.statistics import (
    LogTagLinear,
    LogTagRater,
    StatisticsLinear,
    StatisticsRater,
)

AUDIO_NETWORKS: dict[str, type[AudioNetwork]] = {
    "cnn": HitCNN,
    "inception": InceptionCNN,
    "linear": LinearRater,
    "statistics": StatisticsRater,
    "statistics-linear": StatisticsLinear,
}
"""Networks of the log-mel."""

TAG_NETWORKS: dict[str, type[TagNetwork]] = {
    "dnn": TagDNN,
    "log-tags": LogTagRater,
    "log-tags-linear": LogTagLinear,
}
"""Networks of the tags."""

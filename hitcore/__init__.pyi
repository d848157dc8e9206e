from . import (
    analysis,
    audio,
    catalogue,
    demo,
    evaluation,
    experiments,
    features,
    featurestore,
    highlights,
    learning,
    networks,
    plays,
    taggers,
    weights,
)
from .analysis.report import SongReport
from .analysis.song import analyse
from .audio import Waveform, load_audio
from .errors import (
    AudioError,
    DataError,
    EngineError,
    HitcoreError,
    ParameterError,
    SplitLeakageError,
    UndefinedMetricWarning,
    WeightsError,
)
from .evaluation.metrics import evaluate
from .highlights import Highlight, find_highlight, find_highlights
from .learning.fit import fit
from .learning.givenpairs import GivenPairs
from .learning.pairs import PairRule
from .learning.settings import TrainConfig, TrainingData
from .networks.hitnet import HitCNN, HitNet, HitNetOutput, TagDNN
from .networks.models import HitModel, ModelSpec, load_model, save_model
from .taggers import Taggram, load_tagger

__version__: str

__all__ = [
    "AudioError",
    "DataError",
    "EngineError",
    "GivenPairs",
    "Highlight",
    "HitCNN",
    "HitModel",
    "HitNet",
    "HitNetOutput",
    "HitcoreError",
    "ModelSpec",
    "PairRule",
    "ParameterError",
    "SongReport",
    "SplitLeakageError",
    "TagDNN",
    "Taggram",
    "TrainConfig",
    "TrainingData",
    "UndefinedMetricWarning",
    "Waveform",
    "WeightsError",
    "analyse",
    "analysis",
    "audio",
    "catalogue",
    "demo",
    "evaluate",
    "evaluation",
    "experiments",
    "features",
    "featurestore",
    "find_highlight",
    "find_highlights",
    "fit",
    "highlights",
    "learning",
    "load_audio",
    "load_model",
    "load_tagger",
    "networks",
    "plays",
    "save_model",
    "taggers",
    "weights",
]

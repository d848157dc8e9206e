"""Training of one model or of a whole stack: settings, members, `fit`, `fit_stack`, fusion.

Many models of 0.1 million parameters each are trained as one batched model on data that lives on
the device (`stack`); what is drawn in an epoch follows from each member's own seed (`batches`); the
state is kept on disk (`checkpoints`), so that a broken run goes on where it stood.
"""

from hitcore.learning.chunk import EpochRecord
from hitcore.learning.fitting import MemberResult, Progress, StackResult, fit, fit_stack
from hitcore.learning.fusion import choose_weight, fuse
from hitcore.learning.settings import Member, Precision, TrainConfig, TrainingData

__all__ = [
    "EpochRecord",
    "Member",
    "MemberResult",
    "Precision",
    "Progress",
    "StackResult",
    "TrainConfig",
    "TrainingData",
    "choose_weight",
    "fit",
    "fit_stack",
    "fuse",
]

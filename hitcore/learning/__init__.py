"""How a network learns to rank songs: losses, pairs, one plain loop, and the stack.

In: features and truth of songs (`TrainingData`). Out: trained networks and their scores.

`loop` is the paper's procedure in one sitting, and what trains networks, losses and samplers of
one's own; `fit` is the one call to all of it. `losses` holds eqs. 1 to 3, `pairs` the rules of
naive, A/B and artist sampling (`givenpairs` those of one's own, `paircounts` what they are made
of), `listwise` the losses of whole lists. `settings` says what is trained and how, `batches` which
songs a step is shown. `stacks` trains hundreds of models of 0.1 million parameters each as one.
`choosing` is the one rule by which validation songs decide, `fusion` mixes two models' scores.
"""

from hitcore.learning.fusion import choose_weight, fuse
from hitcore.learning.loop import EpochRecord
from hitcore.learning.settings import Member, Precision, TrainConfig, TrainingData
from hitcore.learning.stacks.fitting import fit_member, fit_stack
from hitcore.learning.stacks.results import MemberResult, Progress, StackResult

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
    "fit_member",
    "fit_stack",
    "fuse",
]

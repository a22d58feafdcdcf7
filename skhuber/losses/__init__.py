"""Losses of arrays, with exact gradients: as objectives, as metrics, as references.

Every loss is an object that is called as the losses of Gluon are::

    loss(pred, label, sample_weight=None)                  the value
    loss.gradient(pred, label, wrt="pred", head=None)      its gradient
    loss.value_and_gradient(pred, label)                   both, in one sweep
    loss.hessian(pred, label)                              diagonal; elementwise losses

`Loss` says what they share. `boosting_objective` makes a loss an objective for
XGBoost and LightGBM.
"""

from skhuber.losses._base import LabelLoss, Loss
from skhuber.losses._boosting import BoostingObjective, boosting_objective
from skhuber.losses._classes import KLDivLoss, SoftmaxCELoss, SoftmaxCrossEntropyLoss
from skhuber.losses._ctc import CTCLoss
from skhuber.losses._elementwise import (
    HingeLoss,
    HuberLoss,
    L1Loss,
    L2Loss,
    LogisticLoss,
    PoissonNLLLoss,
    SigmoidBCELoss,
    SigmoidBinaryCrossEntropyLoss,
    SquaredHingeLoss,
)
from skhuber.losses._pairs import CosineEmbeddingLoss, SDMLLoss, TripletLoss

__all__ = [
    "BoostingObjective",
    "CTCLoss",
    "CosineEmbeddingLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "L2Loss",
    "LabelLoss",
    "LogisticLoss",
    "Loss",
    "PoissonNLLLoss",
    "SDMLLoss",
    "SigmoidBCELoss",
    "SigmoidBinaryCrossEntropyLoss",
    "SoftmaxCELoss",
    "SoftmaxCrossEntropyLoss",
    "SquaredHingeLoss",
    "TripletLoss",
    "boosting_objective",
]

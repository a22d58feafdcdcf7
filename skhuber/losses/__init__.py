"""Losses of arrays with exact gradients, for use as objectives and metrics.

A loss is an object with the interface of Gluon's losses::

    loss(pred, label, sample_weight=None)                  value
    loss.gradient(pred, label, wrt="pred", head=None)      gradient
    loss.value_and_gradient(pred, label)                   both, from one sweep
    loss.hessian(pred, label)                              diagonal; elementwise losses

`Loss` documents the parameters that all losses have. `boosting_objective` makes an
elementwise loss an objective for XGBoost and LightGBM.
"""

from skhuber.losses._base import LabelLoss, Loss
from skhuber.losses._binary import (
    HingeLoss,
    LogisticLoss,
    SigmoidBCELoss,
    SigmoidBinaryCrossEntropyLoss,
    SquaredHingeLoss,
)
from skhuber.losses._boosting import BoostingObjective, boosting_objective
from skhuber.losses._classes import KLDivLoss, SoftmaxCELoss, SoftmaxCrossEntropyLoss
from skhuber.losses._ctc import CTCLoss
from skhuber.losses._pairs import CosineEmbeddingLoss, SDMLLoss, TripletLoss
from skhuber.losses._regression import HuberLoss, L1Loss, L2Loss, PoissonNLLLoss

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

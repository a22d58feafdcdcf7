"""Examples of the losses, with data that suit their arguments."""

import numpy as np

from skhuber import losses
from skhuber.losses import HuberLoss, L1Loss, L2Loss, LabelLoss


class LogCoshLoss(LabelLoss):
    """The example of the documentation."""

    def terms(self, pred, label):
        r = pred - label

        def pull_back(wrt, factor):
            return factor * (np.tanh(r) if wrt == "pred" else -np.tanh(r))

        return np.logaddexp(r, -r) - np.log(2), pull_back


def real(rng, *shape):
    return rng.normal(size=shape)


def sign(rng, *shape):
    return rng.choice([-1.0, 1.0], shape)


def binary(rng, *shape):
    return rng.choice([0.0, 1.0], shape)


def share(rng, *shape):
    return rng.uniform(0.05, 0.95, shape)


def count(rng, *shape):
    return rng.poisson(3.0, shape).astype(float)


def shares_of_classes(rng, *shape):
    x = rng.uniform(0.1, 1.0, shape)
    return x / x.sum(axis=-1, keepdims=True)


# Loss, and how to draw its first two arguments.
POINTWISE = {
    "l2": (L2Loss, {}, real, real),
    "l1": (L1Loss, {}, real, real),
    "huber": (HuberLoss, {"rho": 0.7}, real, real),
    "huber, unit curvature": (
        HuberLoss, {"rho": 0.7, "form": "unit_curvature"}, real, real,
    ),
    "hinge": (losses.HingeLoss, {"margin": 0.5}, real, sign),
    "squared hinge": (losses.SquaredHingeLoss, {}, real, sign),
    "logistic": (losses.LogisticLoss, {}, real, sign),
    "logistic, binary": (
        losses.LogisticLoss, {"label_format": "binary"}, real, binary,
    ),
    "cross-entropy": (losses.SigmoidBCELoss, {}, real, share),
    "cross-entropy of shares": (
        losses.SigmoidBCELoss, {"from_sigmoid": True}, share, share,
    ),
    "poisson": (losses.PoissonNLLLoss, {}, real, count),
    "poisson, full": (losses.PoissonNLLLoss, {"compute_full": True}, real, count),
    "poisson of rates": (
        losses.PoissonNLLLoss,
        {"from_logits": False, "compute_full": True},
        lambda rng, *shape: rng.uniform(0.5, 5.0, shape),
        count,
    ),
    "divergence": (losses.KLDivLoss, {}, real, share),
    "divergence of logits": (
        losses.KLDivLoss, {"from_logits": False}, real, shares_of_classes,
    ),
    "log cosh": (LogCoshLoss, {}, real, real),
}  # fmt: skip
ELEMENTWISE = [
    name
    for name, (kind, *_) in POINTWISE.items()
    if issubclass(kind, losses._elementwise.ElementwiseLoss)
]


def make(name, **parameters):
    kind, own, *_ = POINTWISE[name]
    return kind(**{**own, **parameters})


def draw(name, shape, seed=0):
    rng = np.random.default_rng(seed)
    _, _, first, second = POINTWISE[name]
    return first(rng, *shape), second(rng, *shape)


def second_name(loss):
    return loss._real[1]

"""The objective, stated once, and the units in which it is minimised."""

from skhuber._objective.huber import (
    RESIDUAL_ROUNDING,
    Frame,
    HuberObjective,
    Rotation,
    exponent,
    scale_shift,
)
from skhuber._objective.penalty import Penalty

__all__ = [
    "RESIDUAL_ROUNDING",
    "Frame",
    "HuberObjective",
    "Penalty",
    "Rotation",
    "exponent",
    "scale_shift",
]

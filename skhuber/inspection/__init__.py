"""Displays for matplotlib: residuals, weights, paths, searches, intervals, leverage.

They follow scikit-learn's convention: a display holds what is to be drawn,
class methods named ``from_…`` compute that and draw it, and `plot`
draws it (again). What was drawn is in attributes that end in an underscore, so that it
can be changed afterwards.

Drawing needs matplotlib, ``pip install "skhuber[plot]"``; it is imported at the first
plot only.
"""

from skhuber.inspection._cv import CVRhoDisplay
from skhuber.inspection._inference import (
    CoefficientIntervalDisplay,
    InfluenceDisplay,
    LeverageDisplay,
)
from skhuber.inspection._path import HuberPathDisplay
from skhuber.inspection._residuals import HuberResidualsDisplay
from skhuber.inspection._weights import HuberWeightsDisplay

__all__ = [
    "CVRhoDisplay",
    "CoefficientIntervalDisplay",
    "HuberPathDisplay",
    "HuberResidualsDisplay",
    "HuberWeightsDisplay",
    "InfluenceDisplay",
    "LeverageDisplay",
]

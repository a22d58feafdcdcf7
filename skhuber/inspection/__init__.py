"""Displays for matplotlib: residuals, weights, paths, searches, intervals, leverage.

The displays follow scikit-learn's convention. A display holds the data of a figure.
`from_estimator`, `from_predictions` and `from_path` compute the data and draw them;
`plot` draws them again. The artists drawn are attributes that end in an underscore, so
that they can be changed afterwards.

Drawing needs matplotlib (``pip install matplotlib``); it is imported at the first plot
only.
"""

from skhuber.inspection._cv import CVRhoDisplay
from skhuber.inspection._inference import (
    CoefficientIntervalDisplay,
    InfluenceDisplay,
    LeverageDisplay,
)
from skhuber.inspection._net_path import HuberNetPathDisplay
from skhuber.inspection._path import HuberPathDisplay
from skhuber.inspection._residuals import HuberResidualsDisplay
from skhuber.inspection._weights import HuberWeightsDisplay

__all__ = [
    "CVRhoDisplay",
    "CoefficientIntervalDisplay",
    "HuberNetPathDisplay",
    "HuberPathDisplay",
    "HuberResidualsDisplay",
    "HuberWeightsDisplay",
    "InfluenceDisplay",
    "LeverageDisplay",
]

"""Standard errors, tests, intervals and leverage of fitted models.

:func:`huber_inference` takes a fitted model and its data, and returns a
:class:`HuberInference`. Nothing here is imported with the package.
"""

from skhuber.inference._checks import InferenceWarning
from skhuber.inference._infer import huber_inference
from skhuber.inference._leverage import LeverageReport
from skhuber.inference._nested import compare, deviance_test, score_test
from skhuber.inference._result import HuberInference, Intervals
from skhuber.inference._tests import ContrastResult, HypothesisResult

__all__ = [
    "ContrastResult",
    "HuberInference",
    "HypothesisResult",
    "InferenceWarning",
    "Intervals",
    "LeverageReport",
    "compare",
    "deviance_test",
    "huber_inference",
    "score_test",
]

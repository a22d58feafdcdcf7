"""Scores of candidates on test samples, for the searches by cross-validation."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.metrics import check_scoring
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)

from skhuber._common.scale import NORMAL_MAD, weighted_median
from skhuber._estimators.base import Data, HuberModel, linear
from skhuber._estimators.candidates import SCORING_RHO
from skhuber.metrics import make_huber_scorer

# Residuals below this fraction of the median deviation of y are taken for rounding
# errors.
_ROUNDING = 1e-9

Floats = NDArray[np.float64]


class Candidate(HuberModel):
    """Base class of a fitted model for a scorer, with its predictions.

    Predicting with all candidates at once takes a fraction of the time of one by one.
    """

    known: tuple[Any, NDArray[np.floating]]
    """Test samples, and the predictions for them."""

    def predict(self, X: ArrayLike) -> NDArray[np.floating]:
        """Predict the target."""
        samples, predictions = self.known
        return predictions if X is samples else super().predict(X)


class ScoredSearch(HuberModel):
    """Base class of the searches that score candidates on folds."""

    cv: Any
    scoring: Any

    def get_metadata_routing(self) -> MetadataRouter:
        """Return which metadata the fits, the scorer and the splitter get.

        Returns
        -------
        routing : MetadataRouter
            Routes `sample_weight` to the fits, and to the scorer and the splitter what
            they request.
        """
        return (
            # (By name: scikit-learn before 1.7 copies the owner, and with it its cv.)
            MetadataRouter(owner=type(self).__name__)
            .add_self_request(self)
            .add(
                scorer=self._scorer(1.0),
                method_mapping=MethodMapping().add(caller="fit", callee="score"),
            )
            .add(
                # As it is: `check_cv` would use up a generator.
                splitter=self.cv,
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
        )

    def _scorer(self, threshold: float | None) -> Callable[..., float]:
        if self.scoring is None:
            assert threshold is not None
            scorer: Any = make_huber_scorer(rho=threshold)
            if get_config()["enable_metadata_routing"]:
                scorer.set_score_request(sample_weight=True)
            return scorer
        if not (isinstance(self.scoring, str) or callable(self.scoring)):
            raise TypeError(
                "scoring must be None, the name of a scorer or a callable "
                f"(estimator, X, y) -> float, got {self.scoring!r}."
            )
        return check_scoring(self, self.scoring)

    def _routed(self, weight: Floats | None, params: dict[str, Any]) -> Bunch:
        """Return the metadata of the scorer and of the splitter."""
        if get_config()["enable_metadata_routing"]:
            if weight is not None:
                params = {**params, "sample_weight": weight}
            return process_routing(self, "fit", **params)
        unknown = sorted(set(params) - {"groups"})
        if unknown:
            raise TypeError(
                f"fit got {unknown[0]!r}, which only metadata routing can pass on: "
                "allowed are X, y, sample_weight and groups, or more with "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        score = {}
        if weight is not None and _takes_weights(self._scorer(1.0)):
            score["sample_weight"] = weight
        return Bunch(scorer=Bunch(score=score), splitter=Bunch(split=params))

    def _warn_about_scores(self, mean: Floats, stacklevel: int) -> None:
        """Warn of candidates whose mean scores are not finite."""
        bad = np.count_nonzero(~np.isfinite(mean))
        if bad:
            warnings.warn(
                f"scoring={self.scoring!r} gave scores that are not finite to {bad} of "
                f"{mean.size} candidates; those without a number rank last",
                UserWarning,
                stacklevel=stacklevel + 1,
            )


def scores_of(
    scorer: Callable[..., float],
    candidates: Sequence[Candidate],
    data: Data,
    test: NDArray[np.intp],
    params: dict[str, Any],
) -> Floats:
    """Return the score of each candidate on the test samples.

    Metadata with an entry for each sample are those of the test samples.
    """
    X, y = data.X[test], data.y[test]
    n = data.X.shape[0]
    arrays = {name: np.asarray(value) for name, value in params.items()}
    params = {
        name: value[test] if value.shape[:1] == (n,) else params[name]
        for name, value in arrays.items()
    }
    coefs = np.array([candidate.coef_ for candidate in candidates]).T
    predicted = linear(X, coefs, [candidate.intercept_ for candidate in candidates])
    scores = np.empty(len(candidates))
    for k, candidate in enumerate(candidates):
        candidate.known = X, predicted[:, k]
        score: object = scorer(candidate, X, y, **params)
        if not isinstance(score, Real):
            raise TypeError(
                "scoring must return a number, got "
                f"{score!r} of type {type(score).__name__}."
            )
        scores[k] = score
    return scores


def scoring_threshold(residuals: Floats, data: Data) -> float:
    """Return the threshold of the default scoring, from the residuals of a first fit.

    It is in the unit of y.
    """
    weight = data.weight
    y = data.y.astype(np.float64)
    deviation = np.abs(y - weighted_median(y, weight))
    spread = _median_above(deviation, 0.0, weight)
    # If most targets are met exactly, the median residual is a rounding error: take
    # the median over the others, or the spread of y if all targets are met.
    distance = np.abs(residuals)
    size = _median_above(distance, _ROUNDING * spread, weight) or spread
    return SCORING_RHO * size / NORMAL_MAD if size > 0 else 1.0


def _median_above(sizes: Floats, least: float, weight: Floats | None) -> float:
    """Return the median of all sizes; if it is at most `least`, that of larger sizes.

    The result is zero if no size exceeds `least`.
    """
    median = weighted_median(sizes, weight)
    if median > least:
        return median
    above = sizes > least
    if weight is not None:
        above &= weight > 0
        weight = weight[above]
    return weighted_median(sizes[above], weight) if above.any() else 0.0


def _takes_weights(scorer: Callable[..., float]) -> bool:
    """Return whether a scorer takes an argument `sample_weight`."""
    try:
        parameters = inspect.signature(scorer).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        parameter.name == "sample_weight" or parameter.kind is parameter.VAR_KEYWORD
        for parameter in parameters
    )

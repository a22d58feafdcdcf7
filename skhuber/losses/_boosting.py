"""Losses as objectives of boosting libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhuber._median import NORMAL_MAD, weighted_median
from skhuber._validation import check_real
from skhuber.losses._base import Loss
from skhuber.losses._elementwise import (
    ElementwiseLoss,
    HingeLoss,
    HuberLoss,
    L1Loss,
)

__all__ = ["BoostingObjective", "boosting_objective"]

Array = NDArray[np.float64]


class BoostingObjective:
    """An objective of XGBoost and LightGBM, made by :func:`boosting_objective`.

    It is called in either of the ways in which the two call an objective: with
    (y_true, y_pred) or (y_true, y_pred, sample_weight) by their scikit-learn
    estimators, and with (y_pred, dataset) by ``xgboost.train`` and
    ``lightgbm.train``. It can be pickled.

    Attributes
    ----------
    loss : Loss
    target_scale : float or "mad"
    """

    def __init__(
        self, loss: ElementwiseLoss, target_scale: float | str = "mad"
    ) -> None:
        self.loss = loss
        self.target_scale = target_scale

    def __repr__(self) -> str:
        """As one would write it."""
        return f"boosting_objective({self.loss!r}, target_scale={self.target_scale!r})"

    def __call__(
        self, first: Any, second: Any, sample_weight: ArrayLike | None = None
    ) -> tuple[Array, Array]:
        """Gradient and Hessian of the sum of the loss over the samples.

        Parameters
        ----------
        first, second : array-like of shape (n_samples,), or an array and a dataset
            Targets and predictions; or predictions and the data set that has the
            targets and their weights.

        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        gradient, hessian : ndarray of shape (n_samples,)
        """
        if hasattr(second, "get_label"):
            pred, label, weight = first, second.get_label(), second.get_weight()
        else:
            label, pred, weight = first, second, sample_weight
        label = np.asarray(label, dtype=np.float64)
        pred = np.asarray(pred, dtype=np.float64).reshape(label.shape)
        weight = None if weight is None else np.asarray(weight, dtype=np.float64)
        if weight is not None and weight.size == 0:  # XGBoost's "no weights"
            weight = None
        gradient, hessian = self._derivatives(pred, label, weight)
        if weight is not None:
            gradient, hessian = gradient * weight, hessian * weight
        factor = 1.0 if self.loss.weight is None else self.loss.weight
        return factor * gradient, factor * hessian

    def _derivatives(
        self, pred: Array, label: Array, weight: Array | None
    ) -> tuple[Array, Array]:
        if isinstance(self.loss, HuberLoss):
            threshold = self.loss.rho * self._unit(label, weight)
            residual = pred - label
            size = np.abs(residual)
            # min(1, threshold / size): the curvature of the parabola that touches
            # the loss at the residual and lies above it everywhere.
            robust_weight = threshold / np.maximum(size, threshold)
            return robust_weight * residual, robust_weight
        if isinstance(self.loss, L1Loss):
            unit = self._unit(label, weight)
            return unit * np.sign(pred - label), np.ones_like(pred)
        terms = type(self.loss)(**{**self.loss._parameters(), **_PLAIN})
        gradient = terms.gradient(pred, label)
        if type(self.loss) is HingeLoss:
            return gradient, np.ones_like(pred)
        return gradient, terms.hessian(pred, label)

    def _unit(self, label: Array, weight: Array | None) -> float:
        """The scale of the targets, or the number given for it."""
        if not isinstance(self.target_scale, str):
            return self.target_scale
        centre = weighted_median(label, weight)
        scale = weighted_median(np.abs(label - centre), weight) / NORMAL_MAD
        if scale == 0:  # more than half of the targets are equal
            scale = float(np.std(label))
        return scale if scale > 0 else 1.0


# Gradients of a sum, of terms without the weight.
_PLAIN = {"weight": 1.0, "reduction": "sum"}


def boosting_objective(
    loss: Loss, *, target_scale: float | str = "mad"
) -> BoostingObjective:
    """Make an elementwise loss an objective for XGBoost and LightGBM.

    Parameters
    ----------
    loss : Loss
        One of L2Loss, L1Loss, HuberLoss, PoissonNLLLoss (`from_logits`),
        SigmoidBinaryCrossEntropyLoss (not `from_sigmoid`), LogisticLoss, HingeLoss and
        SquaredHingeLoss. Its `reduction` and `batch_axis` do not matter: boosting adds
        up gradients itself.

    target_scale : "mad" or float, default="mad"
        For HuberLoss, the unit of `rho`, so that one `rho` fits targets of any size.
        "mad" is the median absolute deviation of the training targets from their
        median, divided by 0.6745 (their standard deviation, if they are normal). With
        1.0, `rho` is in the units of the targets. For L1Loss, the unit of the steps.
        Other losses have no use for it.

    Returns
    -------
    objective : BoostingObjective
        For ``XGBRegressor(objective=...)``, ``xgboost.train(..., obj=...)``,
        ``LGBMRegressor(objective=...)`` and the parameter "objective" of
        ``lightgbm.train``.

    Raises
    ------
    TypeError, ValueError
        If the loss has no diagonal second derivative, or is one of probabilities or
        rates, which the sums of trees need not be; if `target_scale` is neither "mad"
        nor a number greater than zero.

    Notes
    -----
    Both libraries set a leaf to −Σ gradients / (Σ Hessians + λ), and count Hessians
    for their least size. So the Hessian must not vanish where the gradient does not:

    - HuberLoss, of either form, is taken in "unit_curvature", as the squared error is
      there; its Hessian is that of the parabola that touches the loss from above,
      min(1, rho·scale / |residual|), the weight of iteratively reweighted least squares
      (P. J. Huber, "Robust Statistics", Wiley 1981, section 7.8). A step with it never
      increases the loss.
    - L1Loss is multiplied by the scale of the targets, and has a Hessian of 1;
      HingeLoss has one of 1.
    - Others have their own.

    Neither library estimates a start for an objective of ours: set ``base_score`` of
    XGBoost to the median of the targets (for LightGBM subtract it from them), or the
    first rounds are spent on getting there.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber.losses import HuberLoss, boosting_objective
    >>> objective = boosting_objective(HuberLoss(rho=0.5))
    >>> y = np.array([1000.0, 2000.0, 3000.0, 4000.0, 90000.0])
    >>> gradient, hessian = objective(y, np.full(5, 3000.0))
    >>> np.round(gradient)
    array([ 741.,  741.,    0., -741., -741.])
    >>> np.round(hessian, 3)
    array([0.371, 0.741, 1.   , 0.741, 0.009])
    """
    if not isinstance(loss, ElementwiseLoss):
        raise TypeError(
            "loss must be an elementwise loss, which has a diagonal second derivative, "
            f"got {loss!r}."
        )
    if getattr(loss, "from_sigmoid", False) or not getattr(loss, "from_logits", True):
        raise ValueError(
            f"loss must be one of logits, as the sums of trees are, got {loss!r}."
        )
    if target_scale != "mad":
        allowed = "'mad' or a finite number > 0"
        target_scale = check_real(
            "target_scale", target_scale, above=0, allowed=allowed
        )
    return BoostingObjective(loss, target_scale)

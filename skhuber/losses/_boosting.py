"""Objectives for gradient-boosting libraries, made of elementwise losses."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhuber._common.scale import NORMAL_MAD, weighted_median
from skhuber._common.validation import check_real
from skhuber.losses._binary import HingeLoss, SquaredHingeLoss
from skhuber.losses._elementwise import ElementwiseLoss
from skhuber.losses._regression import HuberLoss, L1Loss

__all__ = ["BoostingObjective", "boosting_objective"]

Array = NDArray[np.float64]


class BoostingObjective:
    """Objective for XGBoost and LightGBM, made by :func:`boosting_objective`.

    The scikit-learn estimators of both libraries call an objective with
    (y_true, y_pred) or (y_true, y_pred, sample_weight), ``xgboost.train`` and
    ``lightgbm.train`` with (y_pred, dataset); this one takes both. It can be pickled.

    Attributes
    ----------
    loss : Loss
        The elementwise loss.
    target_scale : float or "mad"
        The unit of `rho` of a HuberLoss and of the steps of an L1Loss, or "mad".
    """

    def __init__(
        self, loss: ElementwiseLoss, target_scale: float | str = "mad"
    ) -> None:
        if not isinstance(loss, ElementwiseLoss):
            raise TypeError(
                "loss must be an elementwise loss, which has a diagonal second "
                f"derivative, got {loss!r}."
            )
        of_probabilities = getattr(loss, "from_sigmoid", False)
        if of_probabilities or not getattr(loss, "from_logits", True):
            raise ValueError(
                f"loss must be one of logits, as the sums of trees are, got {loss!r}."
            )
        if loss.weight is not None and not loss.weight > 0:
            raise ValueError(f"loss must have a weight > 0, got {loss!r}.")
        if target_scale != "mad":
            target_scale = check_real(
                "target_scale",
                target_scale,
                above=0,
                allowed="'mad' or a finite number > 0",
            )
        self.loss = loss
        self.target_scale = target_scale
        # The loss whose value is the sum of the unweighted terms.
        self._plain = copy.copy(loss)
        self._plain.weight, self._plain.reduction = None, "sum"
        self._last: tuple[Array, Array | None, float] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle, without the cached targets."""
        return {**vars(self), "_last": None}

    def __repr__(self) -> str:
        """Return the expression that constructs the objective."""
        return f"boosting_objective({self.loss!r}, target_scale={self.target_scale!r})"

    def __call__(
        self, first: Any, second: Any, sample_weight: ArrayLike | None = None
    ) -> tuple[Array, Array]:
        """Return the gradient and the Hessian of the loss summed over the samples.

        Parameters
        ----------
        first, second : array-like of shape (n_samples,), or an array and a dataset
            Targets and predictions; or predictions and the data set of XGBoost or
            LightGBM that holds the targets and their weights.

        sample_weight : array-like of shape (n_samples,), default=None
            Factors of the samples' losses. None: ones. Ignored if `second` is a data
            set.

        Returns
        -------
        gradient : ndarray of shape (n_samples,)
            Derivatives of the sum by the predictions.
        hessian : ndarray of shape (n_samples,)
            Second derivatives, or the substitutes described in
            :func:`boosting_objective`.

        Raises
        ------
        ValueError
            If an array is not one-dimensional or the lengths differ.
        """
        if hasattr(second, "get_label"):
            pred, label, weight = first, second.get_label(), second.get_weight()
        else:
            label, pred, weight = first, second, sample_weight
        label = _one_for_each("the targets", label, None)
        pred = _one_for_each("the predictions", pred, label.size)
        if weight is not None and np.size(weight) == 0:  # XGBoost's "no weights"
            weight = None
        if weight is not None:
            weight = _one_for_each("sample_weight", weight, label.size)
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
            robust_weight = np.ones_like(size)
            np.divide(threshold, size, out=robust_weight, where=size > threshold)
            return robust_weight * residual, robust_weight
        if isinstance(self.loss, L1Loss):
            unit = self._unit(label, weight)
            return unit * np.sign(pred - label), np.ones_like(pred)
        gradient = self._plain.gradient(pred, label)
        if isinstance(self.loss, HingeLoss) and not isinstance(
            self.loss, SquaredHingeLoss
        ):
            return gradient, np.ones_like(pred)
        return gradient, self._plain.hessian(pred, label)

    def _unit(self, label: Array, weight: Array | None) -> float:
        """Return `target_scale`, or the robust scale of the targets for "mad"."""
        if not isinstance(self.target_scale, str):
            return self.target_scale
        # Each round of a training passes equal targets, so their scale is cached.
        last = self._last
        if (
            last is not None
            and _are_same(last[0], label)
            and _are_same(last[1], weight)
        ):
            return last[2]
        scale = _robust_scale(label, weight)
        kept = None if weight is None else weight.copy()
        self._last = (label.copy(), kept, scale)
        return scale


def _one_for_each(name: str, values: Any, n: int | None) -> Array:
    array: Array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or n not in (None, array.size):
        count = "one or more" if n is None else f"{n}, as many as there are targets"
        raise ValueError(
            f"{name} must be a one-dimensional array of {count}; got shape "
            f"{array.shape}."
        )
    return array


def _are_same(one: Array | None, other: Array | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def _robust_scale(label: Array, weight: Array | None) -> float:
    """Return the targets' median absolute deviation over 0.6745; 1 if all are equal.

    If the median deviation is zero, return that of the targets with a deviation.
    """
    if weight is not None:
        label, weight = label[weight > 0], weight[weight > 0]
        if label.size == 0:
            return 1.0
    deviation = np.abs(label - weighted_median(label, weight))
    scale = weighted_median(deviation, weight)
    if scale == 0 and deviation.any():
        others = deviation > 0
        scale = weighted_median(
            deviation[others], None if weight is None else weight[others]
        )
    return scale / NORMAL_MAD if scale > 0 else 1.0


def boosting_objective(
    loss: ElementwiseLoss, *, target_scale: float | str = "mad"
) -> BoostingObjective:
    """Make an elementwise loss an objective for XGBoost and LightGBM.

    Parameters
    ----------
    loss : Loss
        One of L2Loss, L1Loss, HuberLoss, PoissonNLLLoss (`from_logits`),
        SigmoidBinaryCrossEntropyLoss (not `from_sigmoid`), LogisticLoss, HingeLoss and
        SquaredHingeLoss. Its `reduction` and `batch_axis` are ignored, since the
        library adds up the gradients itself.

    target_scale : "mad" or float, default="mad"
        The unit of `rho` of a HuberLoss, so that one `rho` suits targets of any size,
        and the unit of the steps of an L1Loss. Other losses ignore it.
        "mad" is the median absolute deviation of the training targets from their
        median, divided by 0.6745, which is the standard deviation of normal targets;
        if most targets are equal, the median is over the others. With 1.0, `rho` is in
        the units of the targets.

    Returns
    -------
    objective : BoostingObjective
        For ``XGBRegressor(objective=...)``, ``xgboost.train(..., obj=...)``,
        ``LGBMRegressor(objective=...)`` and the parameter "objective" of
        ``lightgbm.train``.

    Raises
    ------
    TypeError, ValueError
        If the loss has no diagonal second derivative; if it takes probabilities or
        rates, since sums of trees have no bounds; if its weight is not positive; if
        `target_scale` is neither "mad" nor a number greater than zero.

    Notes
    -----
    Both libraries set a leaf to −Σ gradients / (Σ Hessians + λ), and require a least
    sum of Hessians in a leaf. So the Hessian must not vanish where the gradient does
    not:

    - HuberLoss, of either form, is used in the form "unit_curvature". Its Hessian is
      that of the parabola that touches the loss from above,
      min(1, rho·scale / |residual|), the weight of iteratively reweighted least squares
      (P. J. Huber, "Robust Statistics", Wiley 1981, section 7.8). A step with this
      Hessian never increases the loss.
    - L1Loss is multiplied by the scale of the targets, and its Hessian is 1.
    - The Hessian of HingeLoss is 1.
    - Other losses have their second derivative.

    Neither library estimates a start for a custom objective. Set ``base_score`` of
    XGBoost to the median of the targets, or subtract the median from the targets for
    LightGBM; otherwise the first rounds only approach it.

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
    return BoostingObjective(loss, target_scale)

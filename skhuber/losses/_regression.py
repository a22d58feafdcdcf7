"""Elementwise losses of real-valued targets and of counts."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skhuber._common.validation import check_choice, check_flag, check_real
from skhuber._kernels import rules
from skhuber.losses._base import Array, Call
from skhuber.losses._elementwise import ElementwiseLoss

__all__ = ["HuberLoss", "L1Loss", "L2Loss", "PoissonNLLLoss"]


class L2Loss(ElementwiseLoss):
    """Half the squared error.

    The terms are (pred − label)² / 2; their derivative by `pred` is pred − label.

    Parameters
    ----------
    weight : float, default=1.0
        A factor of the loss.

    batch_axis : int, default=0
        Axis of `pred` along which the entries of a batch are.

    reduction : {"batch", "mean", "sum", "none"}, default="batch"
        See :class:`Loss`.

    Examples
    --------
    >>> from skhuber.losses import L2Loss
    >>> L2Loss()([[1.0, 2.0], [3.0, 6.0]], [[1.0, 4.0], [3.0, 2.0]])
    array([1., 4.])
    """

    def __init__(
        self,
        weight: float | None = 1.0,
        batch_axis: int = 0,
        *,
        reduction: str = "batch",
    ) -> None:
        super().__init__(weight, batch_axis, reduction=reduction)

    def _rule(self) -> rules.Rule:
        return rules.Squared(1.0)


class L1Loss(ElementwiseLoss):
    """Absolute error.

    The terms are |pred − label|; their derivative by `pred` is sign(pred − label).

    Parameters
    ----------
    weight, batch_axis, reduction
        See :class:`Loss`.

    Examples
    --------
    >>> from skhuber.losses import L1Loss
    >>> float(L1Loss(reduction="mean")([1.0, 2.0], [1.5, 4.0]))
    1.25
    """

    def _rule(self) -> rules.Rule:
        return rules.Absolute(1.0)


class HuberLoss(ElementwiseLoss):
    """Huber loss: quadratic for small residuals, linear for large ones.

    With r = pred − label, the terms are

    - r² / (2·rho) up to |r| = rho and |r| − rho/2 beyond, if `form` is "unit_slope";
    - r² / 2 up to |r| = rho and rho·(|r| − rho/2) beyond, if it is "unit_curvature".

    Parameters
    ----------
    rho : float, default=1.0
        The absolute residual at which the quadratic and the linear part meet, in the
        units of `label`; > 0. With infinity the loss is r² / 2 if `form` is
        "unit_curvature", and zero if it is "unit_slope".

    weight : float, default=None
        A factor of the loss; None is 1.

    batch_axis : int, default=0
        Axis of `pred` along which the entries of a batch are.

    reduction : {"batch", "mean", "sum", "none"}, default="batch"
        See :class:`Loss`.

    form : {"unit_slope", "unit_curvature"}, default="unit_slope"
        The normalisation. "unit_slope" has a slope of 1 for large residuals, as
        Gluon's HuberLoss and torch's SmoothL1Loss(beta=rho) have. "unit_curvature" has
        a curvature of 1 for small residuals, as the loss in Huber's paper, torch's
        HuberLoss(delta=rho), Paddle's SmoothL1Loss(delta=rho) and lucid's
        HuberLoss(delta=rho) have; it is `rho` times the loss in "unit_slope".

    Notes
    -----
    Source: P. J. Huber, "Robust Estimation of a Location Parameter", The Annals of
    Mathematical Statistics 35 (1964), pp. 73-101, for the form "unit_curvature".

    Examples
    --------
    >>> from skhuber.losses import HuberLoss
    >>> pred, label = [0.5, 3.0], [0.0, 0.0]
    >>> HuberLoss(rho=2.0)(pred, label)
    array([0.0625, 2.    ])
    >>> HuberLoss(rho=2.0, form="unit_curvature")(pred, label)
    array([0.125, 4.   ])
    """

    def __init__(
        self,
        rho: float = 1.0,
        weight: float | None = None,
        batch_axis: int = 0,
        *,
        reduction: str = "batch",
        form: str = "unit_slope",
    ) -> None:
        super().__init__(weight, batch_axis, reduction=reduction)
        self.rho = check_real("rho", rho, above=0, finite=False)
        self.form = check_choice("form", form, ["unit_slope", "unit_curvature"])

    def _rule(self) -> rules.Rule:
        unit_curvature = self.form == "unit_curvature"
        slope = self.rho if unit_curvature else 1.0
        if np.isinf(self.rho):
            return rules.Squared(1.0 if unit_curvature else 0.0)
        if self.rho < sys.float_info.min:  # its reciprocal would overflow
            return rules.Absolute(slope)
        return rules.Huber(self.rho, 1.0 if unit_curvature else 1.0 / self.rho, slope)


class PoissonNLLLoss(ElementwiseLoss):
    """Negative log-likelihood of counts that have a Poisson distribution.

    The terms are exp(pred) − target·pred if `pred` is the logarithm of the rate, and
    pred − target·log(pred + epsilon) if `pred` is the rate.

    Parameters
    ----------
    weight : float, default=None
        A factor of the loss; None is 1.

    from_logits : bool, default=True
        Whether `pred` is the logarithm of the rate.

    batch_axis : int, default=0
        Axis of `pred` along which the entries of a batch are, for
        ``reduction="batch"``.

    compute_full : bool, default=False
        Add Stirling's approximation of log(target!), target·log(target) − target +
        log(2π·target)/2, for targets above 1.

    epsilon : float, default=1e-8
        The number added to a rate, which makes the loss at a rate of 0 finite; ≥ 0.

    reduction : {"batch", "mean", "sum", "none"}, default="mean"
        See :class:`Loss`. The default is Gluon's for this loss.

    Notes
    -----
    The second argument of a call is named `target`.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber.losses import PoissonNLLLoss
    >>> round(float(PoissonNLLLoss()(np.log([2.0, 3.0]), [2, 3])), 4)
    0.1589
    """

    _real = ("pred", "target")

    def __init__(
        self,
        weight: float | None = None,
        from_logits: bool = True,
        batch_axis: int = 0,
        compute_full: bool = False,
        epsilon: float = 1e-8,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, batch_axis, reduction=reduction)
        self.from_logits = check_flag("from_logits", from_logits)
        self.compute_full = check_flag("compute_full", compute_full)
        self.epsilon = check_real("epsilon", epsilon, least=0)

    def _rule(self) -> rules.Rule:
        full = float(self.compute_full)
        if self.from_logits:
            return rules.PoissonOfLogs(full)
        return rules.PoissonOfRates(full, self.epsilon)

    def __call__(
        self,
        pred: ArrayLike,
        target: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Any:
        """Return the value of the loss."""
        return super().__call__(pred, target, sample_weight)

    def gradient(
        self,
        pred: ArrayLike,
        target: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        wrt: str = "pred",
        head: ArrayLike | None = None,
    ) -> Array:
        """Return the gradient by `wrt`; see :meth:`LabelLoss.gradient`."""
        return super().gradient(pred, target, sample_weight, wrt=wrt, head=head)

    def value_and_gradient(
        self,
        pred: ArrayLike,
        target: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        wrt: str = "pred",
        head: ArrayLike | None = None,
    ) -> tuple[Any, Array]:
        """Return the value and the gradient by `wrt`, from one sweep over the data."""
        return super().value_and_gradient(
            pred, target, sample_weight, wrt=wrt, head=head
        )

    def hessian(
        self,
        pred: ArrayLike,
        target: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        head: ArrayLike | None = None,
    ) -> Array:
        """Return the diagonal of the Hessian of the value with respect to `pred`."""
        return super().hessian(pred, target, sample_weight, head=head)

    def _call(
        self,
        pred: ArrayLike,
        target: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Call:
        return self._pointwise_call({"pred": pred, "target": target}, sample_weight)

"""Elementwise losses of two classes: hinge, logistic and cross-entropy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import ArrayLike

from skhuber._common.validation import check_choice, check_flag, check_real
from skhuber._kernels import rules
from skhuber.losses._base import Array, Call, check_fits, numbers
from skhuber.losses._checks import check_binary, check_share, check_sign
from skhuber.losses._elementwise import ElementwiseLoss

__all__ = [
    "HingeLoss",
    "LogisticLoss",
    "SigmoidBCELoss",
    "SigmoidBinaryCrossEntropyLoss",
    "SquaredHingeLoss",
]


class HingeLoss(ElementwiseLoss):
    """Hinge loss of support vector machines.

    The terms are max(0, margin − pred·label). The derivative of a positive term by
    `pred` is −label, that of a zero term 0.

    Parameters
    ----------
    margin : float, default=1.0
        The least product pred·label for which the loss is zero.

    weight, batch_axis, reduction
        See :class:`Loss`.

    Notes
    -----
    Labels are −1 and 1.

    Examples
    --------
    >>> from skhuber.losses import HingeLoss
    >>> HingeLoss()([0.5, 2.0, 0.5], [1, 1, -1])
    array([0.5, 0. , 1.5])
    """

    def __init__(
        self,
        margin: float = 1.0,
        weight: float | None = None,
        batch_axis: int = 0,
        *,
        reduction: str = "batch",
    ) -> None:
        super().__init__(weight, batch_axis, reduction=reduction)
        self.margin = check_real("margin", margin)

    def _rule(self) -> rules.Rule:
        return rules.Hinge(self.margin)

    def _call(
        self, pred: ArrayLike, label: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Call:
        call = super()._call(pred, label, sample_weight)
        check_sign("label", call.arrays["label"], call.shapes["label"])
        return call


class SquaredHingeLoss(HingeLoss):
    """Squared hinge loss of support vector machines.

    The terms are max(0, margin − pred·label)².

    Parameters
    ----------
    margin : float, default=1.0
        The least product pred·label for which the loss is zero.

    weight, batch_axis, reduction
        See :class:`Loss`.

    Notes
    -----
    Labels are −1 and 1.

    Examples
    --------
    >>> from skhuber.losses import SquaredHingeLoss
    >>> SquaredHingeLoss()([0.5, 2.0, 0.5], [1, 1, -1])
    array([0.25, 0.  , 2.25])
    """

    def _rule(self) -> rules.Rule:
        return rules.SquaredHinge(self.margin)


class LogisticLoss(ElementwiseLoss):
    """Logistic loss of two classes.

    The terms are log(1 + exp(−pred·y)) with y = ±1 the class. Their derivative by
    `pred` is σ(pred) − (y + 1)/2, with σ(t) = 1/(1 + exp(−t)).

    Parameters
    ----------
    weight : float, default=None
        A factor of the loss; None is 1.

    batch_axis : int, default=0
        Axis of `pred` along which the entries of a batch are.

    label_format : {"signed", "binary"}, default="signed"
        The two labels: −1 and 1 ("signed"), or 0 and 1 ("binary").

    reduction : {"batch", "mean", "sum", "none"}, default="batch"
        See :class:`Loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber.losses import LogisticLoss
    >>> np.round(LogisticLoss()([0.0, 3.0, -1e4], [1, 1, 1]), 4)
    array([6.931e-01, 4.860e-02, 1.000e+04])
    """

    def __init__(
        self,
        weight: float | None = None,
        batch_axis: int = 0,
        label_format: str = "signed",
        *,
        reduction: str = "batch",
    ) -> None:
        super().__init__(weight, batch_axis, reduction=reduction)
        self.label_format = check_choice(
            "label_format", label_format, ["signed", "binary"]
        )

    def _rule(self) -> rules.Rule:
        if self.label_format == "signed":
            return rules.CrossEntropyOfLogits(0.5, 0.5)
        return rules.CrossEntropyOfLogits(1.0, 0.0)

    def _call(
        self, pred: ArrayLike, label: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Call:
        call = super()._call(pred, label, sample_weight)
        check = check_sign if self.label_format == "signed" else check_binary
        check("label", call.arrays["label"], call.shapes["label"])
        return call


class SigmoidBinaryCrossEntropyLoss(ElementwiseLoss):
    """Cross-entropy of two classes, of a logit or of a probability.

    The terms are −pos_weight·label·log(q) − (1 − label)·log(1 − q), where q is `pred`
    if `from_sigmoid`, else 1/(1 + exp(−pred)).

    Parameters
    ----------
    from_sigmoid : bool, default=False
        If True, `pred` is a probability, and 1e-12 is added inside both logarithms. If
        False, `pred` is a logit.

    weight, batch_axis, reduction
        See :class:`Loss`.

    Notes
    -----
    A call is ``loss(pred, label, sample_weight=None, pos_weight=None)``. The factors
    `pos_weight` of the positive class broadcast to the shape of `pred`, which they must
    not make larger; usually there is one for each column. Labels are between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber.losses import SigmoidBCELoss
    >>> loss = SigmoidBCELoss()
    >>> np.round(loss([0.0, 2.0, -1e4], [1, 0, 0]), 4)
    array([0.6931, 2.1269, 0.    ])
    >>> np.round(loss([[0.0, 2.0]], [[1, 1]], pos_weight=[3.0, 1.0]), 4)
    array([1.1032])
    """

    _real = ("pred", "label", "pos_weight")
    _extra = "pos_weight"

    # Added to a probability in its logarithm, so that a zero has a finite loss; the
    # value is Gluon's.
    _EPSILON = 1e-12

    def __init__(
        self,
        from_sigmoid: bool = False,
        weight: float | None = None,
        batch_axis: int = 0,
        *,
        reduction: str = "batch",
    ) -> None:
        super().__init__(weight, batch_axis, reduction=reduction)
        self.from_sigmoid = check_flag("from_sigmoid", from_sigmoid)

    def _rule(self) -> rules.Rule:
        if self.from_sigmoid:
            return rules.CrossEntropyOfProbabilities(self._EPSILON)
        return rules.CrossEntropyOfLogits(1.0, 0.0)

    def __call__(
        self,
        pred: ArrayLike,
        label: ArrayLike,
        sample_weight: ArrayLike | None = None,
        pos_weight: ArrayLike | None = None,
    ) -> Any:
        """Return the value of the loss."""
        return self._evaluate(self._call(pred, label, sample_weight, pos_weight))[0]

    def gradient(
        self,
        pred: ArrayLike,
        label: ArrayLike,
        sample_weight: ArrayLike | None = None,
        pos_weight: ArrayLike | None = None,
        *,
        wrt: str = "pred",
        head: ArrayLike | None = None,
    ) -> Array:
        """Return the gradient by `wrt`; see :meth:`LabelLoss.gradient`."""
        call = self._call(pred, label, sample_weight, pos_weight)
        return self._gradient(call, wrt, head)

    def value_and_gradient(
        self,
        pred: ArrayLike,
        label: ArrayLike,
        sample_weight: ArrayLike | None = None,
        pos_weight: ArrayLike | None = None,
        *,
        wrt: str = "pred",
        head: ArrayLike | None = None,
    ) -> tuple[Any, Array]:
        """Return the value and the gradient by `wrt`, from one sweep over the data."""
        call = self._call(pred, label, sample_weight, pos_weight)
        return self._value_and_gradient(call, wrt, head)

    def hessian(
        self,
        pred: ArrayLike,
        label: ArrayLike,
        sample_weight: ArrayLike | None = None,
        pos_weight: ArrayLike | None = None,
        *,
        head: ArrayLike | None = None,
    ) -> Array:
        """Return the diagonal of the Hessian of the value with respect to `pred`."""
        return self._hessian(self._call(pred, label, sample_weight, pos_weight), head)

    def _call(
        self,
        pred: ArrayLike,
        label: ArrayLike,
        sample_weight: ArrayLike | None = None,
        pos_weight: ArrayLike | None = None,
    ) -> Call:
        call = super()._call(pred, label, sample_weight)
        check_share("label", call.arrays["label"], call.shapes["label"])
        if self.from_sigmoid:
            check_share("pred", call.arrays["pred"], call.shapes["pred"])
        if pos_weight is None:
            return call
        array = numbers("pos_weight", pos_weight)
        check_fits("pos_weight", array, call.shape)
        return replace(
            call,
            arrays={**call.arrays, "pos_weight": array.astype(call.dtype, copy=False)},
            shapes={**call.shapes, "pos_weight": array.shape},
        )


SigmoidBCELoss = SigmoidBinaryCrossEntropyLoss

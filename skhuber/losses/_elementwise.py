"""Losses whose terms depend on one element of each argument.

A loss here is its documentation, its parameters and its rule: the numbers that
`skhuber._kernels.formulas` needs. `ElementwiseLoss` runs the rule over the arrays, on
all threads, and makes no array but those it returns. (Copied are: arrays that are not
in C order or of another dtype than the result; all arrays if reduction="batch" is along
another axis than the first; sample weights that vary neither along the batch alone nor
from element to element; and the product of such weights with a head of that size.)
"""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from skhuber._common.arrays import read_only
from skhuber._kernels import rules
from skhuber._common.validation import check_choice, check_flag, check_real
from skhuber.losses._base import (
    Array,
    Call,
    LabelLoss,
    PullBack,
    check_fits,
    numbers,
    sum_to_shape,
)
from skhuber.losses._checks import check_binary, check_share, check_sign

__all__ = [
    "ElementwiseLoss",
    "HingeLoss",
    "HuberLoss",
    "L1Loss",
    "L2Loss",
    "LogisticLoss",
    "PoissonNLLLoss",
    "SigmoidBCELoss",
    "SigmoidBinaryCrossEntropyLoss",
    "SquaredHingeLoss",
]


def _kernel() -> ModuleType:
    """The compiled loop. Importing this package does not load numba."""
    from skhuber._kernels import elementwise

    return elementwise


class _Weights(NamedTuple):
    """unit · array[where the mode says]; the modes are the kernel's."""

    unit: float
    mode: int
    array: Array


class _Results(NamedTuple):
    """What a run has stored; empty arrays for what was not wanted."""

    terms: Array
    sums: Array
    derivative: Array


class _Layout:
    """The elements of a call, row by row: a row for each place along an axis.

    Parameters
    ----------
    call : Call
    axis : int or None
        None: a single row.
    """

    def __init__(self, call: Call, axis: int | None) -> None:
        self._shape = call.shape
        self._dtype = call.dtype
        self._axis = axis
        self.rows = 1 if axis is None else call.shape[axis]
        self.row_length = call.size // max(self.rows, 1)

    def flat(self, array: Array) -> Array:
        """An array that broadcasts to the call's shape, row by row."""
        array = np.broadcast_to(array, self._shape)
        if self._axis is not None:
            array = np.moveaxis(array, self._axis, 0)
        return read_only(np.ascontiguousarray(array).reshape(-1))

    def unflat(self, flat: Array) -> Array:
        """The way back for a result."""
        if not self._axis:
            return flat.reshape(self._shape)
        shape = list(self._shape)
        shape.insert(0, shape.pop(self._axis))
        moved = np.moveaxis(flat.reshape(shape), 0, self._axis)
        return np.ascontiguousarray(moved)

    def weights(self, unit: float, *factors: Array | None) -> _Weights:
        """Product of a number and arrays that broadcast to the call's shape."""
        kernel = _kernel()
        product: Array | None = None
        for factor in factors:
            if factor is not None:
                product = factor if product is None else product * factor
        if product is None or product.size == 1:
            only = 1.0 if product is None else float(product.reshape(()))
            none = read_only(np.empty(0, self._dtype))
            return _Weights(unit * only, kernel.NO_WEIGHT, none)
        if self._axis is not None and _varies_along(product, self._shape, self._axis):
            rows = read_only(np.ascontiguousarray(product).reshape(-1))
            return _Weights(unit, kernel.WEIGHT_OF_ROW, rows)
        return _Weights(unit, kernel.WEIGHT_OF_ELEMENT, self.flat(product))

    def repeated(self, array: Array) -> Array:
        """Values that the kernel repeats along the elements until all have one."""
        last = len(self._shape) - 1
        if array.size == 1:
            return read_only(array.reshape(-1))
        if not self._axis and _varies_along(array, self._shape, last):
            return read_only(np.ascontiguousarray(array).reshape(-1))
        return self.flat(array)


def _varies_along(array: Array, shape: tuple[int, ...], axis: int) -> bool:
    """Whether it has the shape's length along that axis, and 1 along all others."""
    own = (1,) * (len(shape) - array.ndim) + array.shape
    return own == tuple(n if k == axis else 1 for k, n in enumerate(shape))


class ElementwiseLoss(LabelLoss):
    """Base class of the losses with a compiled scalar formula.

    Parameters
    ----------
    weight, batch_axis, reduction
        As in `Loss`.
    """

    # The third argument of the formula, if there is one.
    _extra: str | None = None

    def _rule(self) -> rules.Rule:
        """Which formula, with which numbers."""
        raise NotImplementedError

    def hessian(
        self,
        pred: ArrayLike,
        label: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        head: ArrayLike | None = None,
    ) -> Array:
        """Diagonal of the second derivative of the value with respect to `pred`.

        Off the diagonal it is zero. At a kink of the gradient it is that of the
        quadratic side (HuberLoss), or zero.

        Parameters
        ----------
        pred, label, sample_weight, head : array-like
            As in :meth:`gradient`.

        Returns
        -------
        hessian : ndarray
            Of the shape of `pred`.
        """
        return self._hessian(self._call(pred, label, sample_weight), head)

    def terms(self, *args: Any, **kwargs: Any) -> tuple[Array, PullBack]:
        """Terms of the loss, and the way back from their factors to a gradient."""
        call = self._call(*args, **kwargs)
        layout = _Layout(call, None)
        one = layout.weights(1.0)
        stored = self._sweep(call, layout, one, one, _kernel().NONE, "terms")

        def pull_back(wrt: str, factor: Array) -> Array:
            by = self._derivative(wrt)
            factors = layout.weights(1.0, factor)
            slopes = self._sweep(call, layout, one, factors, by, "").derivative
            return self._in_own_shape(call, wrt, layout.unflat(slopes))

        return layout.unflat(stored.terms), pull_back

    def _evaluate(
        self,
        call: Call,
        want_value: bool = True,
        wrt: str | None = None,
        head: ArrayLike | None = None,
    ) -> tuple[Any, Any]:
        by = _kernel().NONE
        if wrt == "sample_weight":
            gradient = super()._evaluate(call, False, wrt, head)[1]
            return self._fused(call, want_value, by, None)[0], gradient
        if wrt is not None:
            by = self._derivative(wrt)
        value, derivative = self._fused(call, want_value, by, head)
        if wrt is not None:
            derivative = self._in_own_shape(call, wrt, derivative)
        return value, derivative

    def _hessian(self, call: Call, head: ArrayLike | None) -> Array:
        hessian = self._fused(call, False, _kernel().CURVATURE, head)[1]
        return self._in_own_shape(call, self._real[0], hessian)

    def _derivative(self, wrt: str) -> int:
        kernel = _kernel()
        if wrt == self._extra:
            return int(kernel.EXTRA)
        return int(kernel.PRED if wrt == self._real[0] else kernel.LABEL)

    def _in_own_shape(self, call: Call, wrt: str, derivative: Array) -> Array:
        """From the shape of the terms to that of the argument."""
        shape = call.shapes[wrt]
        if wrt == self._extra:
            return sum_to_shape(derivative, shape).astype(call.dtype)
        return derivative.reshape(shape)

    def _fused(
        self, call: Call, want_value: bool, by: int, head: ArrayLike | None
    ) -> tuple[Any, Any]:
        """Value, and derivative in the shape of the terms, in one sweep."""
        checked_head = self._check_head(call, head)
        self._check_reducible(call)
        # Where an entry has one element, its mean is that.
        by_entry = (
            self.reduction == "batch" and self._averaged(call) > 1 and call.size > 0
        )
        axis = call.batch_axis if by_entry else None
        weight = call.sample_weight
        if axis is None and weight is not None and call.size > weight.size > 1:
            # Weights of the entries of a batch: the kernel need not repeat them.
            axis = 0 if _varies_along(weight, call.shape, 0) else None
        layout = _Layout(call, axis)
        unit = self._factor_unit(call)
        weights = slope_weights = layout.weights(unit, weight)
        if checked_head is not None:
            factor = self._spread(call, checked_head)
            slope_weights = layout.weights(unit, weight, factor)
        whole = self.reduction in ("mean", "sum")
        wanted = ("sums" if whole or by_entry else "terms") if want_value else ""
        stored = self._sweep(call, layout, weights, slope_weights, by, wanted)
        value: Any = None
        if want_value and (whole or by_entry):
            sums = stored.sums.reshape((*self._value_shape(call), -1))
            with np.errstate(over="ignore"):  # float32 has no more than infinity
                value = sums.sum(axis=-1).astype(call.dtype)[()]
        elif want_value:
            value = layout.unflat(stored.terms).reshape(self._value_shape(call))
        if by == _kernel().NONE:
            return value, None
        return value, layout.unflat(stored.derivative)

    def _sweep(
        self,
        call: Call,
        layout: _Layout,
        weights: _Weights,
        slope_weights: _Weights,
        by: int,
        wanted: str,
    ) -> _Results:
        """Run the kernel over all elements; `wanted` is "terms", "sums" or ""."""
        from skhuber._runtime import run_blocks, thread_count

        kernel = _kernel()
        if call.size == 0:
            nothing = np.empty(0, call.dtype)
            return _Results(nothing, nothing, nothing)
        chunk_length, chunks_per_row = kernel.chunk_size(layout.row_length)
        if chunks_per_row == 1:
            n_chunks, n_sums = -(-call.size // chunk_length), layout.rows
        else:
            n_chunks = n_sums = layout.rows * chunks_per_row
        terms = np.empty(call.size if wanted == "terms" else 0, call.dtype)
        sums = np.empty(n_sums if wanted == "sums" else 0)
        derivative = np.empty(0 if by == kernel.NONE else call.size, call.dtype)
        first, second = (call.arrays[name] for name in self._real[:2])
        extra = read_only(np.empty(0, call.dtype))
        if self._extra is not None and self._extra in call.arrays:
            extra = layout.repeated(call.arrays[self._extra])
        arguments = (
            self._rule(), layout.flat(first), layout.flat(second), extra,
            layout.row_length, chunk_length, chunks_per_row,
            *weights, *slope_weights, by, terms, sums, derivative,
        )  # fmt: skip
        with np.errstate(all="ignore"):  # without compilation, as with it
            run_blocks(
                kernel.evaluate,
                n_chunks,
                call.size,
                thread_count(None, call.size),
                arguments,
            )
        return _Results(terms, sums, derivative)


class L2Loss(ElementwiseLoss):
    """Half the squared error.

    The terms are (pred − label)² / 2; their slope is pred − label.

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

    The terms are |pred − label|; their slope is the sign, and 0 at 0.

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
    """Quadratic for small residuals, linear for large ones.

    With r = pred − label, the terms are

    - r² / (2·rho) up to |r| = rho and |r| − rho/2 beyond, if `form` is "unit_slope";
    - r² / 2 up to |r| = rho and rho·(|r| − rho/2) beyond, if it is "unit_curvature".

    Parameters
    ----------
    rho : float, default=1.0
        The residual at which the two meet, in the units of `label`; > 0. With
        infinity the loss is r² / 2, or zero.

    weight : float, default=None
        A factor of the loss; None is 1.

    batch_axis : int, default=0
        Axis of `pred` along which the entries of a batch are.

    reduction : {"batch", "mean", "sum", "none"}, default="batch"
        See :class:`Loss`.

    form : {"unit_slope", "unit_curvature"}, default="unit_slope"
        What is 1: the slope for large residuals, as in Gluon's HuberLoss and torch's
        SmoothL1Loss(beta=rho); or the curvature for small ones, as in Huber's paper,
        torch's HuberLoss(delta=rho), Paddle's SmoothL1Loss(delta=rho) and lucid's
        HuberLoss(delta=rho). The latter is `rho` times the former.

    Notes
    -----
    Source: P. J. Huber, "Robust Estimation of a Location Parameter", The Annals of
    Mathematical Statistics 35 (1964), pp. 73-101, in "unit_curvature".

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


class HingeLoss(ElementwiseLoss):
    """Hinge loss of support vector machines.

    The terms are max(0, margin − pred·label); their slope is −label where that is
    positive, else 0.

    Parameters
    ----------
    margin : float, default=1.0

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

    The terms are log(1 + exp(−pred·y)) with y = ±1 the class; their slope is
    σ(pred) − (y + 1)/2, with σ(t) = 1/(1 + exp(−t)).

    Parameters
    ----------
    weight : float, default=None
        A factor of the loss; None is 1.

    batch_axis : int, default=0
        Axis of `pred` along which the entries of a batch are.

    label_format : {"signed", "binary"}, default="signed"
        Whether labels are −1 and 1, or 0 and 1.

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

    The terms are −pos_weight·label·log(q) − (1 − label)·log(1 − q), where
    q = 1/(1 + exp(−pred)), or `pred` itself if `from_sigmoid`.

    Parameters
    ----------
    from_sigmoid : bool, default=False
        Whether `pred` is the probability. Then 1e-12 is added inside both logarithms.

    weight, batch_axis, reduction
        See :class:`Loss`.

    Notes
    -----
    A call has one more argument than that of other losses: ``loss(pred, label,
    sample_weight=None, pos_weight=None)``. The factors `pos_weight` of the positive
    class broadcast to the shape of `pred`, which they must not make larger; usually
    there is one for each column. Labels are between 0 and 1.

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

    # Gluon's: keeps a probability of 0 from an infinite loss.
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
        """Value of the loss, with factors of the positive class."""
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
        """Gradient with respect to `wrt`, as of other losses."""
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
        """Value and gradient, in one sweep over the data."""
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
        """Diagonal of the second derivative with respect to `pred`."""
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


class PoissonNLLLoss(ElementwiseLoss):
    """Negative log-likelihood of counts that have a Poisson distribution.

    The terms are exp(pred) − target·pred, with `pred` the logarithm of the rate; or
    pred − target·log(pred + epsilon), with `pred` the rate.

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
        Keeps a rate of 0 from an infinite loss; ≥ 0.

    reduction : {"batch", "mean", "sum", "none"}, default="mean"
        See :class:`Loss`; of this loss Gluon takes the mean over everything.

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
        """Value of the loss."""
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
        """Gradient with respect to `wrt`, as of other losses."""
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
        """Value and gradient, in one sweep over the data."""
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
        """Diagonal of the second derivative with respect to `pred`."""
        return super().hessian(pred, target, sample_weight, head=head)

    def _call(
        self,
        pred: ArrayLike,
        target: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Call:
        return self._pointwise_call({"pred": pred, "target": target}, sample_weight)

"""Base class of the losses whose terms depend on one element of each argument.

A subclass consists of its documentation, its parameters and its rule, the constants of
a scalar formula in `skhuber._kernels.formulas`. `ElementwiseLoss` evaluates the formula
over the arrays on all threads. It allocates no arrays but its results, with these
exceptions:

- an array that is not in C order or has another dtype than the result is copied;
- with ``reduction="batch"`` along another axis than the first, all arrays are copied;
- sample weights are broadcast to one number for each element, unless they are a single
  number or vary along the batch axis alone;
- the product of sample weights and a head is an array.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from skhuber._common.arrays import read_only
from skhuber._kernels import rules
from skhuber.losses._base import Array, Call, LabelLoss, PullBack, sum_to_shape

__all__ = ["ElementwiseLoss"]


def _kernel() -> ModuleType:
    """Return the module of the compiled loop, imported late since it loads numba."""
    from skhuber._kernels import elementwise

    return elementwise


class _Weights(NamedTuple):
    """Factors of the elements: `unit` times an entry of `array`, chosen by `mode`.

    The modes are constants of `skhuber._kernels.elementwise`.
    """

    unit: float
    mode: int
    array: Array


class _Results(NamedTuple):
    """Arrays that a sweep has filled; empty if not asked for."""

    terms: Array
    sums: Array
    derivative: Array


class _Layout:
    """Order of a call's elements in flat arrays, with one row per index of an axis.

    Parameters
    ----------
    call : Call
        The checked arguments.
    axis : int or None
        The axis of the terms whose indices make up the rows. None: a single row.
    """

    def __init__(self, call: Call, axis: int | None) -> None:
        self._shape = call.shape
        self._dtype = call.dtype
        self._axis = axis
        self.rows = 1 if axis is None else call.shape[axis]
        self.row_length = call.size // max(self.rows, 1)

    def flat(self, array: Array) -> Array:
        """Return the array, broadcast to the shape of the terms, as a flat array."""
        array = np.broadcast_to(array, self._shape)
        if self._axis is not None:
            array = np.moveaxis(array, self._axis, 0)
        return read_only(np.ascontiguousarray(array).reshape(-1))

    def unflat(self, flat: Array) -> Array:
        """Return a flat array of all elements in the shape of the terms."""
        if not self._axis:
            return flat.reshape(self._shape)
        shape = list(self._shape)
        shape.insert(0, shape.pop(self._axis))
        moved = np.moveaxis(flat.reshape(shape), 0, self._axis)
        return np.ascontiguousarray(moved)

    def weights(self, unit: float, *factors: Array | None) -> _Weights:
        """Return the product of a number and of arrays that broadcast to the terms."""
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
        """Return a flat array that, repeated cyclically, covers all elements."""
        last = len(self._shape) - 1
        if array.size == 1:
            return read_only(array.reshape(-1))
        if not self._axis and _varies_along(array, self._shape, last):
            return read_only(np.ascontiguousarray(array).reshape(-1))
        return self.flat(array)


def _varies_along(array: Array, shape: tuple[int, ...], axis: int) -> bool:
    """Return whether `array` has `shape[axis]` entries along `axis`, 1 along others."""
    own = (1,) * (len(shape) - array.ndim) + array.shape
    return own == tuple(n if k == axis else 1 for k, n in enumerate(shape))


class ElementwiseLoss(LabelLoss):
    """Base class of the losses with a compiled scalar formula.

    Parameters
    ----------
    weight, batch_axis, reduction
        See :class:`Loss`.
    """

    # Name of the argument that is the formula's third number; None if it has none.
    _extra: str | None = None

    def _rule(self) -> rules.Rule:
        """Return the rule: its type selects the formula, its fields are constants."""
        raise NotImplementedError

    def hessian(
        self,
        pred: ArrayLike,
        label: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        head: ArrayLike | None = None,
    ) -> Array:
        """Return the diagonal of the Hessian of the value with respect to `pred`.

        The Hessian is zero off the diagonal. At a kink of the gradient, the second
        derivative returned is that of the quadratic side (HuberLoss), or zero (other
        losses).

        Parameters
        ----------
        pred, label, sample_weight, head : array-like
            See :meth:`gradient`.

        Returns
        -------
        hessian : ndarray
            The diagonal, in the shape of `pred`.

        Raises
        ------
        TypeError, ValueError
            If the shapes do not fit, or a value is not allowed.
        """
        return self._hessian(self._call(pred, label, sample_weight), head)

    def terms(self, *args: Any, **kwargs: Any) -> tuple[Array, PullBack]:
        """Return the terms of the loss and their pull-back."""
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
        """Return a derivative in the shape of the argument `wrt`."""
        shape = call.shapes[wrt]
        if wrt == self._extra:
            return sum_to_shape(derivative, shape).astype(call.dtype)
        return derivative.reshape(shape)

    def _fused(
        self, call: Call, want_value: bool, by: int, head: ArrayLike | None
    ) -> tuple[Any, Any]:
        """Return the value, and a derivative in the shape of the terms, by one sweep.

        None stands for a value or a derivative that is not asked for.
        """
        checked_head = self._check_head(call, head)
        self._check_reducible(call)
        # If each entry of the batch has one element, the terms are the means.
        by_entry = (
            self.reduction == "batch" and self._averaged(call) > 1 and call.size > 0
        )
        axis = call.batch_axis if by_entry else None
        weight = call.sample_weight
        if axis is None and weight is not None and call.size > weight.size > 1:
            # One weight per index of the first axis needs no copy for each element.
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
            with np.errstate(over="ignore"):  # a sum may exceed the range of float32
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
        with np.errstate(all="ignore"):  # NumPy would warn where numba is off
            run_blocks(
                kernel.evaluate,
                n_chunks,
                call.size,
                thread_count(None, call.size),
                arguments,
            )
        return _Results(terms, sums, derivative)

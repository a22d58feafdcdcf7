"""Base classes of the losses: weights, reduction, the chain rule, argument checks.

A loss computes an array of *terms*, one number for each element (or for each pair of
vectors, or each utterance). `Loss` makes the value of the terms::

    terms ──· sample_weight · weight──> weighted terms ──reduction──> value

The derivative of the value with respect to the terms is the *factor*,
head · weight · sample_weight / (number of terms averaged). A subclass defines only
its terms and their derivatives. It does so in one method, `Loss.terms`, which returns
the terms and a function that turns a factor into a gradient (the vector-Jacobian
product of reverse-mode differentiation). A subclass that takes other arguments than
(pred, label, sample_weight) checks them in `Loss._call`. The subclasses of
`skhuber.losses._elementwise.ElementwiseLoss` give a compiled scalar formula instead of
`terms`.

Weights and reductions follow `mxnet.gluon.loss` if its documentation and its behaviour
agree.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhuber._common.arrays import read_only
from skhuber._common.validation import check_choice, check_integer, check_real

__all__ = [
    "Array",
    "Call",
    "Loss",
    "PullBack",
    "check_fits",
    "fits",
    "numbers",
    "sum_to_shape",
]

Array = NDArray[Any]
PullBack = Callable[[str, Array], Array]

REDUCTIONS = ("batch", "mean", "sum", "none")


@dataclass(frozen=True)
class Call:
    """The checked arguments of one call, converted to one dtype."""

    # The arguments of `Loss.terms`, in the shapes that the loss computes with.
    arrays: Mapping[str, Array]
    # The arguments' shapes as the caller passed them; gradients have these shapes.
    shapes: Mapping[str, tuple[int, ...]]
    # The shape of the array of terms.
    shape: tuple[int, ...]
    # The axis of `shape` that is the batch axis; None if there is no batch axis.
    batch_axis: int | None
    # None, or an array that broadcasts to `shape`.
    sample_weight: Array | None
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """The number of terms."""
        return math.prod(self.shape)


class Loss:
    """Base class of all losses.

    Parameters
    ----------
    weight : float, default=None
        A factor of the loss; None is 1.

    batch_axis : int, default=0
        Axis of `pred` along which the entries of a batch are.

    reduction : {"batch", "mean", "sum", "none"}, default="batch"
        How the terms of the loss, one for each element of `pred`, become its value:

        - "batch": the mean of the terms over all axes but `batch_axis`, of shape (N,);
        - "mean": the mean of all terms, one number;
        - "sum": the sum of all terms, one number;
        - "none": the terms themselves, in the shape of `pred`.

        A mean is divided by the number of terms, not by the sum of the weights.
    """

    # Names of the arguments for which a gradient is defined, besides sample_weight.
    _real: tuple[str, ...]

    def __init__(
        self,
        weight: float | None = None,
        batch_axis: int = 0,
        *,
        reduction: str = "batch",
    ) -> None:
        self.weight = None if weight is None else check_real("weight", weight)
        self.batch_axis = check_integer("batch_axis", batch_axis)
        self.reduction = check_choice("reduction", reduction, REDUCTIONS)

    # --- methods that a subclass defines ------------------------------------------

    def terms(self, *args: Any, **kwargs: Any) -> tuple[Array, PullBack]:
        """Return the terms of the loss and the function that computes its gradients.

        Every subclass defines this method.

        Parameters
        ----------
        pred, label : ndarray
            The arguments of the call, in float64 and read-only.

        Returns
        -------
        terms : ndarray
            The terms before any weight is applied.
        pull_back : callable
            ``pull_back(wrt, factor)`` takes the name of an argument and an array that
            broadcasts to the shape of the terms. It returns Σᵢ factorᵢ ∂termsᵢ/∂wrt,
            in the shape of the argument.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define its terms.")

    def _call(self, *args: Any, **kwargs: Any) -> Call:
        """Check the arguments of a call and return them as arrays.

        A subclass of `Loss` defines this method together with public methods that
        take its arguments.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not define its arguments."
        )

    # --- evaluation ---------------------------------------------------------------

    def _evaluate(
        self,
        call: Call,
        want_value: bool = True,
        wrt: str | None = None,
        head: ArrayLike | None = None,
    ) -> tuple[Any, Any]:
        """Return the value and the gradient by `wrt`; None for each not asked for."""
        checked_head = self._check_head(call, head)
        self._check_reducible(call)
        arrays = {name: _for_terms(array) for name, array in call.arrays.items()}
        # Infinities and NaNs in the arguments carry over to the results.
        with np.errstate(all="ignore"):
            terms, pull_back = self.terms(**arrays)
            if np.shape(terms) != call.shape:
                raise ValueError(
                    f"{type(self).__name__}.terms must return terms of shape "
                    f"{call.shape}, got shape {np.shape(terms)}."
                )
            value = self._reduce(call, terms) if want_value else None
            if wrt is None:
                return value, None
            factor = self._head_factor(call, checked_head)
            if wrt == "sample_weight":
                products = np.broadcast_to(factor * terms, call.shape)
                assert call.sample_weight is not None
                gradient = sum_to_shape(products, call.sample_weight.shape)
            else:
                if call.sample_weight is not None:
                    factor = factor * call.sample_weight
                gradient = pull_back(wrt, np.broadcast_to(factor, call.shape))
            # Copy: the gradient may be a view of an array that `terms` keeps.
            gradient = np.array(gradient, dtype=call.dtype)
        return value, gradient.reshape(call.shapes[wrt])

    def _gradient(self, call: Call, wrt: str, head: ArrayLike | None) -> Array:
        self._check_wrt(call, wrt)
        gradient: Array = self._evaluate(call, False, wrt, head)[1]
        return gradient

    def _value_and_gradient(
        self, call: Call, wrt: str, head: ArrayLike | None
    ) -> tuple[Any, Array]:
        self._check_wrt(call, wrt)
        return self._evaluate(call, True, wrt, head)

    def _averaged(self, call: Call) -> int:
        """Return the number of terms in a mean; 1 if the reduction takes no mean."""
        if self.reduction == "mean":
            return call.size
        if self.reduction == "batch" and call.batch_axis is not None:
            others = (n for k, n in enumerate(call.shape) if k != call.batch_axis)
            return math.prod(others)
        return 1

    def _factor_unit(self, call: Call) -> float:
        weight = 1.0 if self.weight is None else self.weight
        return weight / max(self._averaged(call), 1)

    def _head_factor(self, call: Call, head: Array | None) -> Array:
        """Return the derivative of the value by the terms weighted by sample_weight.

        The array broadcasts to the shape of the terms.
        """
        unit = np.asarray(self._factor_unit(call))
        return unit if head is None else unit * self._spread(call, head)

    def _spread(self, call: Call, head: Array) -> Array:
        """Return `head` reshaped to broadcast to the shape of the terms."""
        if self.reduction == "batch" and call.batch_axis is not None:
            shape = [1] * len(call.shape)
            shape[call.batch_axis] = -1
            head = head.reshape(shape)
        return head

    def _reduce(self, call: Call, terms: Array) -> Any:
        if call.sample_weight is not None:
            terms = terms * call.sample_weight
        unit = self._factor_unit(call)
        if self.reduction in ("mean", "sum"):
            return call.dtype.type(unit * np.sum(terms, dtype=np.float64))
        if self.reduction == "batch" and len(call.shape) > 1:
            others = tuple(k for k in range(terms.ndim) if k != call.batch_axis)
            terms = np.asarray(np.sum(terms, axis=others, dtype=np.float64))
        return (unit * terms).astype(call.dtype, copy=False)

    def _value_shape(self, call: Call) -> tuple[int, ...]:
        if self.reduction in ("mean", "sum"):
            return ()
        if self.reduction == "batch" and call.batch_axis is not None:
            return (call.shape[call.batch_axis],)
        return call.shape

    # --- arguments ----------------------------------------------------------------

    def _pointwise_call(
        self, arguments: Mapping[str, ArrayLike], sample_weight: ArrayLike | None
    ) -> Call:
        """Return the checked call of a loss with one term for each element."""
        arrays, shapes, dtype = self._real_arrays(arguments)
        name, first = next(iter(arrays.items()))
        for other in list(arrays)[1:]:
            arrays[other] = self._reshaped(other, arrays[other], name, first.shape)
        return self._with_weight(
            arrays, shapes, dtype, first.shape, self._axis(name, first.ndim),
            sample_weight,
        )  # fmt: skip

    def _of_entries(self, call: Call, name: str) -> Call:
        """Return `call` with one term for each entry along its batch axis."""
        axis = self._axis(name, len(call.shape), needed=True)
        assert axis is not None
        return replace(call, shape=(call.shape[axis],), batch_axis=0)

    @staticmethod
    def _real_arrays(
        arguments: Mapping[str, ArrayLike],
    ) -> tuple[dict[str, Array], dict[str, tuple[int, ...]], np.dtype[Any]]:
        """Return the arguments as arrays of one floating dtype, and their shapes.

        The dtype is float32 if there are floating-point arguments and none of them is
        wider, else float64.
        """
        arrays = {name: numbers(name, value) for name, value in arguments.items()}
        floating = [a.dtype for a in arrays.values() if a.dtype.kind == "f"]
        dtype: np.dtype[Any] = np.dtype(np.float64)
        if floating and np.result_type(*floating).itemsize <= 4:
            dtype = np.dtype(np.float32)
        shapes = {name: array.shape for name, array in arrays.items()}
        return (
            {name: array.astype(dtype, copy=False) for name, array in arrays.items()},
            shapes,
            dtype,
        )

    @classmethod
    def _real_array(cls, name: str, value: ArrayLike) -> Array:
        """Return one argument as an array of a floating dtype."""
        return cls._real_arrays({name: value})[0][name]

    @staticmethod
    def _reshaped(name: str, array: Array, other: str, shape: tuple[int, ...]) -> Array:
        if array.shape == shape:
            return array
        if array.size != math.prod(shape):
            raise ValueError(
                f"{name} must have as many elements as {other}: got shape "
                f"{array.shape} for {other} of shape {shape}."
            )
        return array.reshape(shape)

    def _axis(self, name: str, ndim: int, *, needed: bool = False) -> int | None:
        """Return the non-negative batch axis of an argument of `ndim` axes.

        Return None if the argument lacks that axis and the reduction does without it.
        """
        if -ndim <= self.batch_axis < ndim:
            return self.batch_axis % ndim
        if needed or self.reduction == "batch":
            raise ValueError(
                f"batch_axis must be an axis of {name}, got {self.batch_axis} for "
                f"{name} with {ndim} of them."
            )
        return None

    def _with_weight(
        self,
        arrays: Mapping[str, Array],
        shapes: Mapping[str, tuple[int, ...]],
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        batch_axis: int | None,
        sample_weight: ArrayLike | None,
    ) -> Call:
        """Return the call with its sample weights, checked against its terms."""
        weight = None
        if sample_weight is not None:
            given = numbers("sample_weight", sample_weight)
            shapes = {**shapes, "sample_weight": given.shape}
            weight = self._fitting_weight(given, shape).astype(dtype, copy=False)
        return Call(arrays, shapes, shape, batch_axis, weight, dtype)

    def _fitting_weight(self, weight: Array, shape: tuple[int, ...]) -> Array:
        """Return the weights in a shape that broadcasts to that of the terms."""
        check_fits("sample_weight", weight, shape)
        return weight

    def _check_wrt(self, call: Call, wrt: object) -> None:
        allowed = [
            name for name in call.shapes if name in (*self._real, "sample_weight")
        ]
        check_choice("wrt", wrt, allowed)

    def _check_head(self, call: Call, head: ArrayLike | None) -> Array | None:
        if head is None:
            return None
        array = numbers("head", head).astype(call.dtype, copy=False)
        shape = self._value_shape(call)
        if array.shape != shape and array.size == math.prod(shape):
            array = array.reshape(shape)
        if array.shape not in (shape, ()):
            raise ValueError(
                f"head must have the shape of the value, {shape}; got {array.shape}."
            )
        return np.broadcast_to(array, shape)

    def _check_reducible(self, call: Call) -> None:
        if self._averaged(call) == 0:
            raise ValueError(
                f"reduction={self.reduction!r} of an array without elements is not "
                f"defined: got shape {call.shape}."
            )

    # --- representation and comparison --------------------------------------------

    def _parameters(self) -> dict[str, Any]:
        names = inspect.signature(type(self).__init__).parameters
        return {name: getattr(self, name) for name in names if name != "self"}

    def __repr__(self) -> str:
        """Return the expression that constructs the loss."""
        parameters = (f"{name}={value!r}" for name, value in self._parameters().items())
        return f"{type(self).__name__}({', '.join(parameters)})"

    def __eq__(self, other: object) -> bool:
        """Return whether both losses are of one class and have equal parameters.

        Losses have no hash, since their parameters can be set.
        """
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, Loss)
        return self._parameters() == other._parameters()


class LabelLoss(Loss):
    """Base class of losses of predictions and labels.

    Parameters
    ----------
    weight, batch_axis, reduction
        See :class:`Loss`.

    Notes
    -----
    To add a loss, derive a class with one method, `terms`. It takes the arguments as
    float64 arrays of one shape, and returns the terms of the loss and a function that
    multiplies the terms' derivatives by a factor for each term::

        class LogCoshLoss(LabelLoss):
            def terms(self, pred, label):
                r = pred - label

                def pull_back(wrt, factor):
                    return factor * (np.tanh(r) if wrt == "pred" else -np.tanh(r))

                return np.logaddexp(r, -r) - np.log(2), pull_back

    The base class adds weights, reductions, heads, gradients, checks and `repr`. A loss
    with parameters of its own keeps each in an attribute of the parameter's name.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber.losses import LabelLoss
    >>> class CubicLoss(LabelLoss):
    ...     def terms(self, pred, label):
    ...         r = pred - label
    ...
    ...         def pull_back(wrt, factor):
    ...             slope = 3 * r * np.abs(r)
    ...             return factor * (slope if wrt == "pred" else -slope)
    ...
    ...         return np.abs(r) ** 3, pull_back
    >>> loss = CubicLoss(reduction="sum")
    >>> loss
    CubicLoss(weight=None, batch_axis=0, reduction='sum')
    >>> value, gradient = loss.value_and_gradient([1.0, 4.0], [2.0, 2.0])
    >>> float(value), gradient
    (9.0, array([-3., 12.]))
    """

    _real: tuple[str, ...] = ("pred", "label")

    def __call__(
        self,
        pred: ArrayLike,
        label: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Any:
        """Return the value of the loss.

        Parameters
        ----------
        pred : array-like
            Predictions.

        label : array-like
            True values. `label` has as many elements as `pred`, in the same order.

        sample_weight : array-like, default=None
            Factors of the terms. They broadcast to the shape of the terms, which
            they must not make larger: for `pred` of shape (64, 10), weights of the
            64 entries have shape (64, 1).

        Returns
        -------
        value : ndarray or float
            The reduced terms, in the shape that `reduction` defines. float32 if the
            floating-point arguments are float32, else float64.

        Raises
        ------
        TypeError, ValueError
            If the shapes do not fit, or a value is not allowed.
        """
        return self._evaluate(self._call(pred, label, sample_weight))[0]

    def gradient(
        self,
        pred: ArrayLike,
        label: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        wrt: str = "pred",
        head: ArrayLike | None = None,
    ) -> Array:
        """Return the gradient of the sum of the loss's value, weighted by `head`.

        Parameters
        ----------
        pred, label, sample_weight : array-like
            The arguments of a call of the loss.

        wrt : str, default="pred"
            Name of the argument by which the value is differentiated.

        head : array-like, default=None
            Derivatives of an outer function with respect to the value, in the shape
            of the value: the gradient returned is that of the outer function. None
            stands for ones.

        Returns
        -------
        gradient : ndarray
            The gradient, in the shape of the argument `wrt`.

        Raises
        ------
        TypeError, ValueError
            If the shapes do not fit, or a value is not allowed.
        """
        call = self._call(pred, label, sample_weight)
        return self._gradient(call, wrt, head)

    def value_and_gradient(
        self,
        pred: ArrayLike,
        label: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        wrt: str = "pred",
        head: ArrayLike | None = None,
    ) -> tuple[Any, Array]:
        """Return the value and the gradient of the loss, from one sweep over the data.

        Parameters
        ----------
        pred, label, sample_weight, wrt, head
            See :meth:`gradient`.

        Returns
        -------
        value : ndarray or float
            The value of the loss.
        gradient : ndarray
            The gradient, in the shape of the argument `wrt`.

        Raises
        ------
        TypeError, ValueError
            If the shapes do not fit, or a value is not allowed.
        """
        call = self._call(pred, label, sample_weight)
        return self._value_and_gradient(call, wrt, head)

    def _call(
        self, pred: ArrayLike, label: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Call:
        return self._pointwise_call({"pred": pred, "label": label}, sample_weight)


# --- arrays ---------------------------------------------------------------------------


def numbers(name: str, value: ArrayLike) -> Array:
    """Return an array of real numbers, or raise an error that names the argument."""
    try:
        array: Array = np.asarray(value)
        if array.dtype == object:
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be an array of real numbers: {error}."
        ) from error
    if array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} must be an array of real numbers, got dtype {array.dtype}."
        )
    return array


def _for_terms(array: Array) -> Array:
    """Return a read-only array for `Loss.terms`: floats as float64, others as is."""
    kind = np.float64 if array.dtype.kind == "f" else array.dtype
    view: Array = read_only(array.astype(kind, copy=False))
    return view


def fits(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Return whether an array of shape `shape` broadcasts to shape `target`."""
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def check_fits(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Raise an error if the array does not broadcast to the shape of the terms."""
    if not fits(array.shape, shape):
        raise ValueError(
            f"{name} must broadcast to the shape of the terms of the loss, {shape}, "
            f"without making it larger; got shape {array.shape}."
        )


def sum_to_shape(array: Array, shape: tuple[int, ...]) -> Array:
    """Return the sum of `array` over the axes along which `shape` was broadcast."""
    array = array.sum(axis=tuple(range(array.ndim - len(shape))), dtype=np.float64)
    repeated = tuple(
        k for k, length in enumerate(shape) if length == 1 and array.shape[k] != 1
    )
    result: Array = array.sum(axis=repeated, keepdims=True) if repeated else array
    return result

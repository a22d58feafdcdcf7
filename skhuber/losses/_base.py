"""What all losses share: weights, reduction, the chain rule, and how to add a loss.

A loss first is an array of *terms*, one number for each element (or each pair, or each
utterance). What is made of them is the same for every loss, and stands here once::

    terms ──· sample_weight · weight──> weighted terms ──reduction──> value

Its derivative with respect to the terms is therefore known here, too: the *factor*,
head · weight · sample_weight / (number of terms averaged). A loss has to say only what
its terms are and how they change with its arguments. It does so in one method,
`Loss.terms`, which returns the terms and a function that takes a factor back to a
gradient (the vector-Jacobian product of reverse-mode differentiation). The losses of
`skhuber.losses._elementwise` give a scalar formula in its place, and the loop over it
applies the weights and adds up on the way.

The rules are those of `mxnet.gluon.loss` where its documentation and its behaviour
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
    """Arguments of one call, checked, and of one dtype."""

    # What `Loss.terms` gets: shaped alike, where the loss wants them alike.
    arrays: Mapping[str, Array]
    # The shapes as passed: those of the gradients.
    shapes: Mapping[str, tuple[int, ...]]
    # Of the terms, and which of its axes is the batch (None: it has none).
    shape: tuple[int, ...]
    batch_axis: int | None
    # None, or an array that broadcasts to the shape of the terms.
    sample_weight: Array | None
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Number of terms."""
        return math.prod(self.shape)


class Loss:
    """Base class of all losses, whatever their arguments.

    Parameters
    ----------
    weight : float, default=None
        A factor of the loss; None is 1.

    batch_axis : int, default=0
        Axis of `pred` along which the entries of a batch are.

    reduction : {"batch", "mean", "sum", "none"}, default="batch"
        What becomes of the terms of the loss, one for each element of `pred`:

        - "batch": their mean over all axes but `batch_axis`, of shape (N,);
        - "mean", "sum": one number;
        - "none": they stay, in the shape of `pred`.

        Means are plain means: they are not divided by the sum of the weights.
    """

    # Names of the arguments that there is a derivative with respect to.
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

    # --- what a loss is -----------------------------------------------------------

    def terms(self, *args: Any, **kwargs: Any) -> tuple[Array, PullBack]:
        """Terms of the loss, and the way back from their factors to a gradient.

        To be given by each loss.

        Parameters
        ----------
        pred, label : ndarray
            The arguments of the call, in float64; not to be written to.

        Returns
        -------
        terms : ndarray
            Without any weight.
        pull_back : callable
            ``pull_back(wrt, factor)`` with the name of an argument and an array of
            the terms' shape, or one that broadcasts to it, is Σᵢ factorᵢ ∂termsᵢ/∂wrt,
            in the shape of that argument.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it is.")

    # --- evaluation ---------------------------------------------------------------

    def _evaluate(
        self,
        call: Call,
        want_value: bool = True,
        wrt: str | None = None,
        head: ArrayLike | None = None,
    ) -> tuple[Any, Any]:
        """Value and gradient with respect to `wrt`; None for what is not wanted."""
        checked_head = self._check_head(call, head)
        self._check_reducible(call)
        arrays = {name: _for_terms(array) for name, array in call.arrays.items()}
        # Infinite and missing numbers are the caller's, and show in the results.
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
            # A copy, where it is a view of something that may be shared.
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
        """How many terms a mean is taken of."""
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
        """Derivative by the weighted terms: broadcasts to their shape."""
        unit = np.asarray(self._factor_unit(call))
        return unit if head is None else unit * self._spread(call, head)

    def _spread(self, call: Call, head: Array) -> Array:
        """A head, laid along the axes of the terms to which it belongs."""
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
        """Check arguments that have one element for each term."""
        arrays, shapes, dtype = self._real_arrays(arguments)
        name, first = next(iter(arrays.items()))
        for other in list(arrays)[1:]:
            arrays[other] = self._reshaped(other, arrays[other], name, first.shape)
        return self._with_weight(
            arrays, shapes, dtype, first.shape, self._axis(name, first.ndim),
            sample_weight,
        )  # fmt: skip

    def _of_entries(self, call: Call, name: str) -> Call:
        """The same call of a loss that has one term for each entry of a batch."""
        axis = self._axis(name, len(call.shape), needed=True)
        assert axis is not None
        return replace(call, shape=(call.shape[axis],), batch_axis=0)

    @staticmethod
    def _real_arrays(
        arguments: Mapping[str, ArrayLike],
    ) -> tuple[dict[str, Array], dict[str, tuple[int, ...]], np.dtype[Any]]:
        """Arrays of one floating dtype: that of those arguments that have one."""
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
        """The batch axis of an argument; None where it has none and needs none."""
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
        """Make a call, with weights that fit its terms."""
        weight = None
        if sample_weight is not None:
            given = numbers("sample_weight", sample_weight)
            shapes = {**shapes, "sample_weight": given.shape}
            weight = self._fitting_weight(given, shape).astype(dtype, copy=False)
        return Call(arrays, shapes, shape, batch_axis, weight, dtype)

    def _fitting_weight(self, weight: Array, shape: tuple[int, ...]) -> Array:
        """Weights in a shape that broadcasts to that of the terms."""
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

    # --- an object like any other -------------------------------------------------

    def _parameters(self) -> dict[str, Any]:
        names = inspect.signature(type(self).__init__).parameters
        return {name: getattr(self, name) for name in names if name != "self"}

    def __repr__(self) -> str:
        """Class and parameters, as one would write them."""
        parameters = (f"{name}={value!r}" for name, value in self._parameters().items())
        return f"{type(self).__name__}({', '.join(parameters)})"

    def __eq__(self, other: object) -> bool:
        """Equal are losses of one class with equal parameters.

        (They have no hash: their parameters can be set.)
        """
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, Loss)
        return self._parameters() == other._parameters()


class LabelLoss(Loss):
    """Base class of losses of predictions and labels: derive from it to add one.

    Parameters
    ----------
    weight, batch_axis, reduction
        See :class:`Loss`.

    Notes
    -----
    A new loss is a class with one method, `terms`. It gets the arguments as float64
    arrays of one shape, and returns the terms of the loss, and a function
    that makes a gradient of the factor of each term::

        class LogCoshLoss(LabelLoss):
            def terms(self, pred, label):
                r = pred - label

                def pull_back(wrt, factor):
                    return factor * (np.tanh(r) if wrt == "pred" else -np.tanh(r))

                return np.logaddexp(r, -r) - np.log(2), pull_back

    Weights, reductions, heads, gradients, checks and `repr` come with it. A loss with
    parameters of its own keeps each in an attribute of the same name.

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
        """Value of the loss.

        Parameters
        ----------
        pred : array-like
            Predictions.

        label : array-like
            True values: as many as `pred` has elements, and taken in that order.

        sample_weight : array-like, default=None
            Factors of the terms. They broadcast to the shape of the terms, which
            they must not make larger: for `pred` of shape (64, 10), weights of the
            64 entries have shape (64, 1).

        Returns
        -------
        value : ndarray or float
            As `reduction` says. float32 if the arguments are float32.

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
        """Gradient of the sum of the value, weighted with `head`.

        Parameters
        ----------
        pred, label, sample_weight : array-like
            As in a call.

        wrt : str, default="pred"
            Name of the argument with respect to which.

        head : array-like, default=None
            Derivatives of something with respect to the value, of its shape: the
            gradient returned is that something's. None stands for ones.

        Returns
        -------
        gradient : ndarray
            Of the shape of the argument.
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
        """Value and gradient, in one sweep over the data.

        Parameters
        ----------
        pred, label, sample_weight, wrt, head
            As in :meth:`gradient`.

        Returns
        -------
        value : ndarray or float
        gradient : ndarray
        """
        call = self._call(pred, label, sample_weight)
        return self._value_and_gradient(call, wrt, head)

    def _call(
        self, pred: ArrayLike, label: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Call:
        return self._pointwise_call({"pred": pred, "label": label}, sample_weight)


# --- arrays ---------------------------------------------------------------------------


def numbers(name: str, value: ArrayLike) -> Array:
    """Array of real numbers, or an error that names the argument."""
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
    """What `Loss.terms` may compute with, but not write to: float64, or integers."""
    kind = np.float64 if array.dtype.kind == "f" else array.dtype
    view: Array = read_only(array.astype(kind, copy=False))
    return view


def fits(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether an array of that shape broadcasts to the target."""
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def check_fits(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Refuse an array that would make the terms of the loss larger."""
    if not fits(array.shape, shape):
        raise ValueError(
            f"{name} must broadcast to the shape of the terms of the loss, {shape}, "
            f"without making it larger; got shape {array.shape}."
        )


def sum_to_shape(array: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting: the sum over the axes along which `shape` was repeated."""
    array = array.sum(axis=tuple(range(array.ndim - len(shape))), dtype=np.float64)
    repeated = tuple(
        k for k, length in enumerate(shape) if length == 1 and array.shape[k] != 1
    )
    result: Array = array.sum(axis=repeated, keepdims=True) if repeated else array
    return result

"""Losses of distances and angles between vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax, softmax, xlogy

from skhuber._common.validation import check_real
from skhuber.losses._base import Array, Call, Loss, PullBack, fits
from skhuber.losses._checks import check_sign

__all__ = ["CosineEmbeddingLoss", "SDMLLoss", "TripletLoss"]


class TripletLoss(Loss):
    """Triplet loss: a prediction's distance to a positive and a negative example.

    The term of a batch entry is max(0, ‖positive − pred‖² − ‖negative − pred‖² +
    margin). The norms are over all axes but `batch_axis`.

    Parameters
    ----------
    margin : float, default=1.0
        The least excess of the squared distance to `negative` over that to `positive`
        for which the loss is zero.

    weight, batch_axis, reduction
        See :class:`Loss`. There is one term for each entry of the batch.

    Notes
    -----
    A call is ``loss(pred, positive, negative)``; there are no sample weights. `wrt`
    may be any of the three arguments.

    Examples
    --------
    >>> from skhuber.losses import TripletLoss
    >>> pred, positive, negative = [[0.0, 0.0]], [[1.0, 1.0]], [[0.0, 1.5]]
    >>> TripletLoss()(pred, positive, negative)
    array([0.75])
    >>> TripletLoss().gradient(pred, positive, negative, wrt="negative")
    array([[-0., -3.]])
    """

    _real = ("pred", "positive", "negative")

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

    def __call__(
        self, pred: ArrayLike, positive: ArrayLike, negative: ArrayLike
    ) -> Any:
        """Return the value of the loss."""
        return self._evaluate(self._call(pred, positive, negative))[0]

    def gradient(
        self,
        pred: ArrayLike,
        positive: ArrayLike,
        negative: ArrayLike,
        *,
        wrt: str = "pred",
        head: ArrayLike | None = None,
    ) -> Array:
        """Return the gradient by `wrt`; see :meth:`LabelLoss.gradient`."""
        call = self._call(pred, positive, negative)
        return self._gradient(call, wrt, head)

    def value_and_gradient(
        self,
        pred: ArrayLike,
        positive: ArrayLike,
        negative: ArrayLike,
        *,
        wrt: str = "pred",
        head: ArrayLike | None = None,
    ) -> tuple[Any, Array]:
        """Return the value and the gradient by `wrt`, from one computation."""
        call = self._call(pred, positive, negative)
        return self._value_and_gradient(call, wrt, head)

    def terms(
        self, pred: Array, positive: Array, negative: Array
    ) -> tuple[Array, PullBack]:
        """Return one term for each entry of the batch, and their pull-back."""
        axis = self.batch_axis % pred.ndim
        others = tuple(k for k in range(pred.ndim) if k != axis)
        # (a − c)² − (b − c)² = (a − b)(a + b − 2c) avoids squares that may overflow.
        distance = (positive - negative) * (positive + negative - 2 * pred)
        lack = distance.sum(axis=others) + self.margin
        # A NaN fails the comparison and is kept.
        active = np.where(lack <= 0, 0, lack)

        def pull_back(wrt: str, factor: Array) -> Array:
            slope = np.expand_dims(np.where(np.isnan(lack), lack, 2 * factor), others)
            if wrt == "pred":
                gradient = slope * (negative - positive)
            elif wrt == "positive":
                gradient = slope * (positive - pred)
            else:
                gradient = -slope * (negative - pred)
            return np.where(np.expand_dims(lack <= 0, others), 0, gradient)

        return active, pull_back

    def _call(self, pred: ArrayLike, positive: ArrayLike, negative: ArrayLike) -> Call:
        arguments = {"pred": pred, "positive": positive, "negative": negative}
        call = self._pointwise_call(arguments, None)
        return self._of_entries(call, "pred")


class CosineEmbeddingLoss(Loss):
    """Cosine embedding loss of pairs of similar or dissimilar vectors.

    With c the cosine of the angle between two vectors, the term of a pair is 1 − c if
    its label is 1, and max(0, c − margin) if it is −1.

    Parameters
    ----------
    weight : float, default=None
        A factor of the loss; None is 1.

    batch_axis : int, default=0
        Axis of the inputs along which the entries of a batch are, if the inputs have
        three axes or more. Inputs of two axes have the batch along the first axis and
        the vectors along the last.

    margin : float, default=0.0
        The greatest cosine of a dissimilar pair (label −1) for which the loss is zero.

    reduction : {"batch", "mean", "sum", "none"}, default="batch"
        See :class:`Loss`. There is one term for each pair of vectors.

    Notes
    -----
    A call is ``loss(input1, input2, label, sample_weight=None)``. `wrt` may be either
    input. One-dimensional inputs are a single pair. If the product of the two norms is
    less than 1e-12, the dot product is divided by 1e-12 instead. The gradient with
    respect to a vector of zeros is zero.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber.losses import CosineEmbeddingLoss
    >>> input1, input2 = [[3.0, 4.0], [3.0, 4.0]], [[6.0, 8.0], [1.0, 0.0]]
    >>> np.round(CosineEmbeddingLoss()(input1, input2, [1, -1]), 4)
    array([0. , 0.6])
    """

    _real = ("input1", "input2")

    # The least divisor of a dot product, in place of a smaller product of norms; the
    # value is Gluon's.
    _EPSILON = 1e-12

    def __init__(
        self,
        weight: float | None = None,
        batch_axis: int = 0,
        margin: float = 0.0,
        *,
        reduction: str = "batch",
    ) -> None:
        super().__init__(weight, batch_axis, reduction=reduction)
        self.margin = check_real("margin", margin)

    def __call__(
        self,
        input1: ArrayLike,
        input2: ArrayLike,
        label: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Any:
        """Return the value of the loss."""
        return self._evaluate(self._call(input1, input2, label, sample_weight))[0]

    def gradient(
        self,
        input1: ArrayLike,
        input2: ArrayLike,
        label: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        wrt: str = "input1",
        head: ArrayLike | None = None,
    ) -> Array:
        """Return the gradient by `wrt`; see :meth:`LabelLoss.gradient`."""
        call = self._call(input1, input2, label, sample_weight)
        return self._gradient(call, wrt, head)

    def value_and_gradient(
        self,
        input1: ArrayLike,
        input2: ArrayLike,
        label: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        wrt: str = "input1",
        head: ArrayLike | None = None,
    ) -> tuple[Any, Array]:
        """Return the value and the gradient by `wrt`, from one computation."""
        call = self._call(input1, input2, label, sample_weight)
        return self._value_and_gradient(call, wrt, head)

    def terms(
        self, input1: Array, input2: Array, label: Array
    ) -> tuple[Array, PullBack]:
        """Return one term for each pair of vectors, and their pull-back."""
        a, norm_a = _direction(input1)
        b, norm_b = _direction(input2)
        dot = (a * b).sum(axis=-1, keepdims=True)
        norms = norm_a * norm_b
        # The divisor is the constant _EPSILON if the product of norms is smaller.
        small = norms < self._EPSILON
        cosine = np.where(small, dot * (norms / self._EPSILON), dot)
        alike = (label == 1)[..., np.newaxis]
        excess = cosine - np.asarray(self.margin, cosine.dtype)
        terms = np.where(alike, 1 - cosine, np.where(excess <= 0, 0, excess))

        def pull_back(wrt: str, factor: Array) -> Array:
            sign = np.where(alike, -1, np.where(excess <= 0, 0, 1))
            slope = factor[..., np.newaxis] * sign
            own, other, norm = (a, b, norm_a) if wrt == "input1" else (b, a, norm_b)
            opposite = norm_b if wrt == "input1" else norm_a
            along = np.where(
                small,
                other * (opposite / self._EPSILON),
                (other - dot * own) / np.where(norm == 0, 1, norm),
            )
            return np.where(norm == 0, 0, slope * along)

        return terms[..., 0], pull_back

    def _call(
        self,
        input1: ArrayLike,
        input2: ArrayLike,
        label: ArrayLike,
        sample_weight: ArrayLike | None,
    ) -> Call:
        arrays, shapes, dtype = self._real_arrays({"input1": input1, "input2": input2})
        shape = shapes["input2"]
        arrays["input1"] = self._reshaped("input1", arrays["input1"], "input2", shape)
        if len(shape) < 2:
            arrays = {name: array.reshape(1, -1) for name, array in arrays.items()}
        shape = arrays["input2"].shape
        terms_shape = shape[:-1]
        axis = self._axis("input2", len(shape), needed=True)
        if axis == len(terms_shape) and axis > 1 and self.reduction == "batch":
            raise ValueError(
                "batch_axis must not be the last axis of input2, along which the "
                f"vectors are; got {self.batch_axis} for input2 of shape {shape}."
            )
        labels = self._real_array("label", label)
        shapes["label"] = labels.shape
        arrays["label"] = self._reshaped(
            "label", labels, "the batch of pairs", terms_shape
        )
        check_sign("label", arrays["label"], shapes["label"])
        place = 0 if len(terms_shape) == 1 else axis
        return self._with_weight(
            arrays, shapes, dtype, terms_shape, place, sample_weight
        )

    def _fitting_weight(self, weight: Array, shape: tuple[int, ...]) -> Array:
        # Gluon's documentation allows weights that keep the last axis as 1.
        if weight.ndim == len(shape) + 1 and fits(weight.shape, (*shape, 1)):
            weight = weight[..., 0]
        return super()._fitting_weight(weight, shape)


class SDMLLoss(Loss):
    """Smoothed deep metric learning loss of a batch of paired vectors.

    Let d be the squared distances of the vector x1ᵢ from all x2ⱼ, p = softmax(−d)
    along j, and t = 1 − s for the partner j = i, s/(n − 1) for every other j. The term
    of entry i is Σⱼ tⱼ·(log(tⱼ + 1e-12) − log pⱼ).

    Parameters
    ----------
    smoothing_parameter : float, default=0.3
        The probability s shared by all vectors but the partner; 0 ≤ s < 1.

    weight : float, default=1.0
        A factor of the loss.

    batch_axis : int, default=0
        The axis of both arrays along which the entries of the batch are.

    reduction : {"batch", "mean", "sum", "none"}, default="batch"
        See :class:`Loss`. There is one term for each entry of the batch.

    Notes
    -----
    A call is ``loss(x1, x2)``, with two arrays of one shape, (n, d) or (d, n), and
    n ≥ 2. `wrt` may be either array.

    Source: D. Bonadiman, A. Kumar and A. Mittal, "Large Scale Question Paraphrase
    Retrieval with Smoothed Deep Metric Learning", arXiv:1905.12786 (2019).

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber.losses import SDMLLoss
    >>> x1 = [[0.0, 0.0], [2.0, 0.0]]
    >>> np.round(SDMLLoss()(x1, [[0.0, 0.1], [2.0, 0.2]]), 4)
    array([0.6158, 0.5988])
    """

    _real = ("x1", "x2")

    # Added to a target probability t in log(t), so that a zero has a finite logarithm;
    # the value is Gluon's.
    _EPSILON = 1e-12

    def __init__(
        self,
        smoothing_parameter: float = 0.3,
        weight: float | None = 1.0,
        batch_axis: int = 0,
        *,
        reduction: str = "batch",
    ) -> None:
        super().__init__(weight, batch_axis, reduction=reduction)
        self.smoothing_parameter = check_real(
            "smoothing_parameter",
            smoothing_parameter,
            least=0,
            below=1,
            allowed="a number >= 0 and < 1",
        )

    def __call__(self, x1: ArrayLike, x2: ArrayLike) -> Any:
        """Return the value of the loss."""
        return self._evaluate(self._call(x1, x2))[0]

    def gradient(
        self,
        x1: ArrayLike,
        x2: ArrayLike,
        *,
        wrt: str = "x1",
        head: ArrayLike | None = None,
    ) -> Array:
        """Return the gradient by `wrt`; see :meth:`LabelLoss.gradient`."""
        return self._gradient(self._call(x1, x2), wrt, head)

    def value_and_gradient(
        self,
        x1: ArrayLike,
        x2: ArrayLike,
        *,
        wrt: str = "x1",
        head: ArrayLike | None = None,
    ) -> tuple[Any, Array]:
        """Return the value and the gradient by `wrt`, from one computation."""
        return self._value_and_gradient(self._call(x1, x2), wrt, head)

    def terms(self, x1: Array, x2: Array) -> tuple[Array, PullBack]:
        """Return one term for each entry of the batch, and their pull-back."""
        across = self.batch_axis % 2 == 1
        if across:
            x1, x2 = x1.T, x2.T
        n = x1.shape[0]
        if n == 0:
            return np.empty(0), lambda wrt, factor: np.empty((0, x1.shape[1]))
        # The loss depends on differences of vectors only. Centred vectors keep the sums
        # in the gradient from cancelling far from the origin.
        centre = x2.mean(axis=0)
        x1, x2 = x1 - centre, x2 - centre
        # Squares of differences, since the expanded square would cancel. One row at a
        # time, since all differences would take n times the memory of the input.
        distance = np.empty((n, n), x1.dtype)
        for i in range(n):
            distance[i] = ((x1[i] - x2) ** 2).sum(axis=1)
        log_p = log_softmax(-distance, axis=1)
        share = self.smoothing_parameter / (n - 1) if n > 1 else 0.0
        target = np.full((n, n), share, x1.dtype)
        np.fill_diagonal(target, 1 - self.smoothing_parameter)
        epsilon = np.asarray(self._EPSILON, x1.dtype)
        parts = xlogy(target, target + epsilon) - np.where(
            target == 0, 0, target * log_p
        )

        def pull_back(wrt: str, factor: Array) -> Array:
            # The derivative by the distances; each row of target sums to 1.
            slope = factor[:, np.newaxis] * (target - softmax(-distance, axis=1))
            if wrt == "x1":
                gradient = 2 * (slope.sum(axis=1, keepdims=True) * x1 - slope @ x2)
            else:
                gradient = 2 * (slope.sum(axis=0)[:, np.newaxis] * x2 - slope.T @ x1)
            return gradient.T if across else gradient

        return parts.sum(axis=1), pull_back

    def _call(self, x1: ArrayLike, x2: ArrayLike) -> Call:
        arrays, shapes, dtype = self._real_arrays({"x1": x1, "x2": x2})
        if shapes["x1"] != shapes["x2"] or len(shapes["x1"]) != 2:
            raise ValueError(
                "x1 and x2 must be two-dimensional and of one shape, got "
                f"{shapes['x1']} and {shapes['x2']}."
            )
        call = Call(arrays, shapes, shapes["x1"], self._axis("x1", 2), None, dtype)
        call = self._of_entries(call, "x1")
        if call.size == 1:
            raise ValueError(
                "x1 and x2 must have two entries or more along the batch axis, since "
                f"each is compared with others; got shape {shapes['x1']}."
            )
        return call


def _direction(array: Array) -> tuple[Array, Array]:
    """Return the vectors scaled to norm 1 and their norms, without overflow.

    A vector of zeros stays as it is.
    """
    greatest = np.abs(array).max(axis=-1, keepdims=True, initial=0)
    unit = np.where(greatest == 0, 1, greatest)
    scaled = array / unit
    length = np.sqrt((scaled * scaled).sum(axis=-1, keepdims=True))
    return scaled / np.where(length == 0, 1, length), length * greatest

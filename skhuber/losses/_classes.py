"""Losses of distributions over several classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax, softmax

from skhuber._common.validation import check_flag, check_integer
from skhuber.losses._base import Array, Call, LabelLoss, PullBack, fits
from skhuber.losses._checks import check_class, check_share

__all__ = ["KLDivLoss", "SoftmaxCELoss", "SoftmaxCrossEntropyLoss"]


class SoftmaxCrossEntropyLoss(LabelLoss):
    """Softmax cross-entropy of several classes.

    With p = softmax(pred) along `axis`, the terms are −log pₖ with k the class in
    `label`, or −Σₖ labelₖ·log pₖ with `label` a distribution. The derivative of a term
    by `pred` is p·Σₖ labelₖ − label.

    Parameters
    ----------
    axis : int, default=-1
        Axis of `pred` along which the classes are.

    sparse_label : bool, default=True
        If True, `label` holds the index of the class, from 0, in the shape of `pred`
        without `axis`. If False, `label` holds probabilities between 0 and 1, in the
        shape of `pred`.

    from_logits : bool, default=False
        Whether `pred` holds log-probabilities instead of logits.

    weight, batch_axis, reduction
        See :class:`Loss`. There is one term for each element of a sparse label. With
        ``reduction="none"`` the terms keep `axis`, of length 1.

    Notes
    -----
    `sample_weight` broadcasts to the shape of `pred` without `axis`, or with `axis`
    kept as 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber.losses import SoftmaxCELoss
    >>> pred = np.log([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    >>> np.exp(-SoftmaxCELoss()(pred, [0, 2]))
    array([0.7, 0.8])
    >>> SoftmaxCELoss().gradient(pred, [0, 2])
    array([[-0.3,  0.2,  0.1],
           [ 0.1,  0.1, -0.2]])
    """

    def __init__(
        self,
        axis: int = -1,
        sparse_label: bool = True,
        from_logits: bool = False,
        weight: float | None = None,
        batch_axis: int = 0,
        *,
        reduction: str = "batch",
    ) -> None:
        super().__init__(weight, batch_axis, reduction=reduction)
        self.axis = check_integer("axis", axis)
        self.sparse_label = check_flag("sparse_label", sparse_label)
        self.from_logits = check_flag("from_logits", from_logits)
        # The loss has no derivative by class indices.
        self._real = ("pred",) if self.sparse_label else ("pred", "label")

    def terms(self, pred: Array, label: Array) -> tuple[Array, PullBack]:
        """Return the terms, with `axis` kept as 1, and their pull-back."""
        log_p = pred if self.from_logits else log_softmax(pred, axis=self.axis)
        if self.sparse_label:
            terms = -np.take_along_axis(log_p, label, axis=self.axis)
        else:
            parts = _times(label, log_p)
            terms = -parts.sum(axis=self.axis, keepdims=True)

        def pull_back(wrt: str, factor: Array) -> Array:
            if wrt == "label":
                return -factor * log_p
            gradient: Array = np.zeros_like(log_p)
            if not self.from_logits:
                np.exp(log_p, out=gradient)
                if not self.sparse_label:
                    gradient *= label.sum(axis=self.axis, keepdims=True)
            if self.sparse_label:
                rest = np.take_along_axis(gradient, label, axis=self.axis) - 1
                np.put_along_axis(gradient, label, rest, axis=self.axis)
            else:
                gradient -= label
            gradient *= factor
            gradient[np.isnan(log_p)] = np.nan
            return gradient

        return terms, pull_back

    def _call(
        self, pred: ArrayLike, label: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Call:
        dense = {} if self.sparse_label else {"label": label}
        arrays, shapes, dtype = self._real_arrays({"pred": pred, **dense})
        shape = arrays["pred"].shape
        axis = _axis_of("axis", self.axis, shape)
        terms_shape = (*shape[:axis], 1, *shape[axis + 1 :])
        if self.sparse_label:
            labels = self._real_array("label", label)
            shapes["label"] = labels.shape
            classes = self._reshaped(
                "label", labels, "pred without its axis of classes", terms_shape
            )
            check_class("label", classes, shape[axis], shapes["label"])
            arrays["label"] = classes.astype(np.intp)
        else:
            arrays["label"] = self._reshaped("label", arrays["label"], "pred", shape)
            check_share("label", arrays["label"], shapes["label"])
        return self._with_weight(
            arrays, shapes, dtype, terms_shape, self._axis("pred", len(shape)),
            sample_weight,
        )  # fmt: skip

    def _fitting_weight(self, weight: Array, shape: tuple[int, ...]) -> Array:
        axis = self.axis % len(shape)
        of_label = (*shape[:axis], *shape[axis + 1 :])
        if fits(weight.shape, of_label):
            padding = (1,) * (len(of_label) - weight.ndim)
            return np.expand_dims(weight.reshape(padding + weight.shape), axis)
        return super()._fitting_weight(weight, shape)


SoftmaxCELoss = SoftmaxCrossEntropyLoss


class KLDivLoss(LabelLoss):
    """Kullback-Leibler divergence of predicted from true distributions.

    The terms are label·(log(label + 1e-12) − log p), one for each element of `pred`.
    log p is `pred` if `from_logits`, else log softmax(pred) along `axis`.

    Parameters
    ----------
    from_logits : bool, default=True
        Whether `pred` holds log-probabilities instead of logits.

    axis : int, default=-1
        Axis of `pred` along which the classes are, if `from_logits` is False.

    weight, batch_axis, reduction
        See :class:`Loss`. The default takes the mean over the classes, as Gluon
        documents; the divergence itself is their sum.

    Notes
    -----
    Labels are probabilities between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber.losses import KLDivLoss
    >>> pred, label = np.log([[0.5, 0.5]]), [[0.9, 0.1]]
    >>> round(float(KLDivLoss(reduction="sum")(pred, label)), 4)
    0.3681
    >>> round(float(0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)), 4)
    0.3681
    """

    # Added to a label in log(label), so that a zero has a finite logarithm; the value
    # is Gluon's.
    _EPSILON = 1e-12

    def __init__(
        self,
        from_logits: bool = True,
        axis: int = -1,
        weight: float | None = None,
        batch_axis: int = 0,
        *,
        reduction: str = "batch",
    ) -> None:
        super().__init__(weight, batch_axis, reduction=reduction)
        self.from_logits = check_flag("from_logits", from_logits)
        self.axis = check_integer("axis", axis)

    def terms(self, pred: Array, label: Array) -> tuple[Array, PullBack]:
        """Return the terms and their pull-back."""
        log_p = pred if self.from_logits else log_softmax(pred, axis=self.axis)
        shifted = label + np.asarray(self._EPSILON, dtype=label.dtype)
        log_label = np.log(shifted)
        terms = _times(label, log_label - log_p)

        def pull_back(wrt: str, factor: Array) -> Array:
            if wrt == "label":
                return factor * (log_label - log_p + label / shifted)
            gradient: Array = -factor * label
            if not self.from_logits:
                total = gradient.sum(axis=self.axis, keepdims=True)
                gradient -= softmax(pred, axis=self.axis) * total
            gradient[np.isnan(log_p)] = np.nan
            return gradient

        return terms, pull_back

    def _call(
        self, pred: ArrayLike, label: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Call:
        call = super()._call(pred, label, sample_weight)
        if not self.from_logits:
            _axis_of("axis", self.axis, call.shape)
        check_share("label", call.arrays["label"], call.shapes["label"])
        return call


def _times(label: Array, number: Array) -> Array:
    """Return label · number; 0 if the label is 0, even if the number is infinite.

    A NaN in `number` stays a NaN.
    """
    product: Array = np.where((label == 0) & ~np.isnan(number), 0, label * number)
    return product


def _axis_of(name: str, axis: int, shape: tuple[int, ...]) -> int:
    """Return the non-negative axis of the classes of `pred`, or raise an error."""
    if not -len(shape) <= axis < len(shape):
        raise ValueError(
            f"{name} must be an axis of pred, got {axis} for pred of shape {shape}."
        )
    if shape[axis] == 0:
        raise ValueError(f"pred must have a class along axis {axis}, got {shape}.")
    return axis % len(shape)

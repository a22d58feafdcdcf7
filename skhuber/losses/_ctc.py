"""Loss of connectionist temporal classification."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skhuber._common.arrays import read_only
from skhuber._common.validation import check_choice
from skhuber.losses._base import Array, Call, Loss, PullBack, sum_to_shape
from skhuber.losses._checks import check_class, check_length

__all__ = ["CTCLoss"]

# The work of one state or class of one frame, in elements of an elementwise sweep, the
# unit of `thread_count`: about 40 ns against 0.6 ns for an element.
_ELEMENTS_PER_STATE = 64


class CTCLoss(Loss):
    """Connectionist temporal classification loss.

    Each frame of an utterance draws a class from the softmax of its logits `pred`. The
    sequence of classes spells a label: runs of one class are merged, then blanks are
    dropped. The term of an utterance is −log of the probability that its frames spell
    its label. The last class is the blank.

    Parameters
    ----------
    layout : {"NTC", "TNC"}, default="NTC"
        Axes of `pred`: batch, time, class.

    label_layout : {"NT", "TN"}, default="NT"
        Axes of `label`.

    weight : float, default=None
        A factor of the loss; None is 1.

    reduction : {"batch", "mean", "sum", "none"}, default="batch"
        See :class:`Loss`. There is one term for each utterance.

    Notes
    -----
    A call is ``loss(pred, label, pred_lengths=None, label_lengths=None,
    sample_weight=None)``. The lengths are the numbers of frames and of labels of each
    utterance that are used; without `label_lengths` a label ends before its first −1. A
    label that does not fit into its frames has an infinite loss and a gradient of
    zeros.

    Source: A. Graves, S. Fernández, F. Gomez and J. Schmidhuber, "Connectionist
    Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent Neural
    Networks", ICML 2006.

    Examples
    --------
    With a, b, c = 0, 1, 2 and the blank 3, "ba" in four frames, all classes equally
    likely:

    >>> import numpy as np
    >>> from skhuber.losses import CTCLoss
    >>> pred = np.zeros((1, 4, 4))
    >>> value = CTCLoss()(pred, [[1, 0, -1, -1]])
    >>> round(float(np.exp(-value[0]) * 4**4))  # paths that spell it
    15
    """

    _real = ("pred",)

    def __init__(
        self,
        layout: str = "NTC",
        label_layout: str = "NT",
        weight: float | None = None,
        *,
        reduction: str = "batch",
    ) -> None:
        super().__init__(weight, reduction=reduction)
        self.layout = check_choice("layout", layout, ["NTC", "TNC"])
        self.label_layout = check_choice("label_layout", label_layout, ["NT", "TN"])

    def __call__(
        self,
        pred: ArrayLike,
        label: ArrayLike,
        pred_lengths: ArrayLike | None = None,
        label_lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Any:
        """Return the value of the loss."""
        call = self._call(pred, label, pred_lengths, label_lengths, sample_weight)
        return self._evaluate(call)[0]

    def gradient(
        self,
        pred: ArrayLike,
        label: ArrayLike,
        pred_lengths: ArrayLike | None = None,
        label_lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        wrt: str = "pred",
        head: ArrayLike | None = None,
    ) -> Array:
        """Return the gradient by `wrt`; see :meth:`LabelLoss.gradient`."""
        call = self._call(pred, label, pred_lengths, label_lengths, sample_weight)
        return self._gradient(call, wrt, head)

    def value_and_gradient(
        self,
        pred: ArrayLike,
        label: ArrayLike,
        pred_lengths: ArrayLike | None = None,
        label_lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        wrt: str = "pred",
        head: ArrayLike | None = None,
    ) -> tuple[Any, Array]:
        """Return the value and the gradient by `wrt`, from one computation."""
        call = self._call(pred, label, pred_lengths, label_lengths, sample_weight)
        return self._value_and_gradient(call, wrt, head)

    def terms(
        self,
        pred: ArrayLike,
        label: ArrayLike,
        pred_lengths: ArrayLike | None = None,
        label_lengths: ArrayLike | None = None,
    ) -> tuple[Array, PullBack]:
        """Return one term for each utterance, and their pull-back."""
        call = self._call(pred, label, pred_lengths, label_lengths, None)
        terms, _ = self._recursions(**call.arrays, factor=None)

        def pull_back(wrt: str, factor: Array) -> Array:
            factor = np.broadcast_to(factor, call.shape)
            gradient = self._recursions(**call.arrays, factor=factor)[1]
            assert gradient is not None
            return gradient

        return terms, pull_back

    def _evaluate(
        self,
        call: Call,
        want_value: bool = True,
        wrt: str | None = None,
        head: ArrayLike | None = None,
    ) -> tuple[Any, Any]:
        # The factors do not depend on the terms, so that one call of the kernel
        # computes both the terms and the gradient.
        checked_head = self._check_head(call, head)
        self._check_reducible(call)
        factor = np.broadcast_to(self._head_factor(call, checked_head), call.shape)
        weighted = None
        if wrt == "pred":
            weighted = (
                factor if call.sample_weight is None else (factor * call.sample_weight)
            )
        with np.errstate(all="ignore"):
            terms, gradient = self._recursions(**call.arrays, factor=weighted)
            value = self._reduce(call, terms) if want_value else None
        if wrt == "sample_weight":
            assert call.sample_weight is not None
            gradient = sum_to_shape(factor * terms, call.sample_weight.shape)
            gradient = gradient.astype(call.dtype).reshape(call.shapes[wrt])
        return value, gradient

    def _recursions(
        self,
        pred: Array,
        label: Array,
        pred_lengths: Array,
        label_lengths: Array,
        factor: Array | None,
    ) -> tuple[Array, Array | None]:
        from skhuber._kernels import ctc
        from skhuber._runtime import run_blocks, thread_count

        n = len(label)
        logits = np.ascontiguousarray(
            pred if self.layout == "NTC" else (np.moveaxis(pred, 0, 1))
        )
        logits = read_only(logits)
        terms = np.empty(n, pred.dtype)
        gradient = np.zeros(
            logits.shape if factor is not None else (0, 0, 0), pred.dtype
        )
        factors = np.ones(n) if factor is None else factor.astype(np.float64)
        states = logits.shape[1] * (2 * label.shape[1] + 1 + logits.shape[2])
        elements = n * states * _ELEMENTS_PER_STATE
        run_blocks(
            ctc.evaluate, n, elements, thread_count(None, elements),
            (logits, label, pred_lengths, label_lengths, terms, factors, gradient),
        )  # fmt: skip
        if factor is None:
            return terms, None
        if self.layout == "TNC":
            gradient = np.ascontiguousarray(np.moveaxis(gradient, 0, 1))
        return terms, gradient

    def _call(
        self,
        pred: ArrayLike,
        label: ArrayLike,
        pred_lengths: ArrayLike | None,
        label_lengths: ArrayLike | None,
        sample_weight: ArrayLike | None,
    ) -> Call:
        arrays, shapes, dtype = self._real_arrays({"pred": pred})
        labels = self._real_array("label", label)
        if len(shapes["pred"]) != 3 or labels.ndim != 2:
            raise ValueError(
                f"pred must have the three axes {self.layout} and label the two axes "
                f"{self.label_layout}, got shapes {shapes['pred']} and {labels.shape}."
            )
        n, frames, classes = (shapes["pred"][self.layout.index(a)] for a in "NTC")
        if self.label_layout == "TN":
            labels = labels.T
        if len(labels) != n:
            raise ValueError(
                f"label must have one entry for each of pred: got shape {labels.shape} "
                f"(batch first) for pred of shape {shapes['pred']}."
            )
        if classes < 1:
            raise ValueError(
                f"pred must have one class at least, the blank; got {shapes['pred']}."
            )
        width = labels.shape[1]
        if label_lengths is None:
            ended = np.concatenate([labels == -1, np.ones((n, 1), bool)], axis=1)
            of_label = np.argmax(ended, axis=1)
        else:
            of_label = self._lengths("label_lengths", label_lengths, n, width)
        of_pred = np.full(n, frames)
        if pred_lengths is not None:
            of_pred = self._lengths("pred_lengths", pred_lengths, n, frames)
        padding = np.arange(width) >= of_label[:, np.newaxis]
        # Padding may hold any number; class 0 in its place passes the check.
        used = np.where(padding, 0, labels)
        if classes == 1 and not padding.all():
            raise ValueError(
                "pred must have a class beside the blank, since label has labels; got "
                f"shape {shapes['pred']}."
            )
        own = used.T if self.label_layout == "TN" else used
        check_class("label", own, max(classes - 1, 1), own.shape)
        checked = {
            **arrays,
            "label": np.ascontiguousarray(used, dtype=np.intp),
            "pred_lengths": of_pred.astype(np.intp),
            "label_lengths": of_label.astype(np.intp),
        }
        return self._with_weight(checked, shapes, dtype, (n,), 0, sample_weight)

    def _lengths(self, name: str, value: ArrayLike, n: int, greatest: int) -> Array:
        lengths = self._real_array(name, value)
        lengths = self._reshaped(name, lengths, "the batch", (n,))
        check_length(name, lengths, greatest)
        return lengths.astype(np.intp)

"""Tests of the losses: weights, reductions, copies and comparison, errors."""

import pickle

import numpy as np
import pytest

from loss_examples import POINTWISE, draw, make, second_name
from skhuber import losses
from skhuber.losses import HuberLoss, L1Loss, L2Loss, LabelLoss

# --- examples of every loss -----------------------------------------------------------


def composed(name, pred, label, weight, reduction, batch_axis, factor, head):
    """Value and gradient from unweighted terms and slopes, in plain NumPy."""
    plain = make(name, reduction="none")
    terms = plain(pred, label)
    # The terms of one element do not depend on others.
    slopes = plain.gradient(pred, label)
    weighted = terms * (1.0 if weight is None else weight) * factor
    scale = np.broadcast_to(factor * (1.0 if weight is None else weight), terms.shape)
    if reduction == "none":
        return weighted, slopes * scale * head
    if reduction == "sum":
        return weighted.sum(), slopes * scale * head
    if reduction == "mean":
        return weighted.mean(), slopes * scale * head / weighted.size
    axes = tuple(k for k in range(terms.ndim) if k != batch_axis % terms.ndim)
    n = np.prod([terms.shape[k] for k in axes])
    spread = np.expand_dims(head, axes)
    return weighted.mean(axis=axes), slopes * scale * spread / n


SHAPES = [(5,), (4, 3), (3, 1), (2, 3, 4), (3, 2500)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("reduction", ["batch", "mean", "sum", "none"])
@pytest.mark.parametrize("name", ["huber", "squared hinge", "log cosh"])
def test_weights_and_reductions(name, reduction, shape):
    rng = np.random.default_rng(1)
    pred, label = draw(name, shape)
    kept = {k: shape[k] for k in range(len(shape))}
    weight_shapes = [None, shape, (), (1,) * len(shape)]
    for axis in kept:
        weight_shapes.append(tuple(n if k == axis else 1 for k, n in enumerate(shape)))
    weight_shapes.append(shape[-1:])
    for batch_axis in [*kept, -1]:
        loss = make(name, weight=-1.5, batch_axis=batch_axis, reduction=reduction)
        for weight_shape in weight_shapes:
            weight = None if weight_shape is None else rng.normal(size=weight_shape)
            head = rng.normal(size=np.shape(loss(pred, label)))
            value, gradient = loss.value_and_gradient(pred, label, weight, head=head)
            expected = composed(
                name, pred, label, weight, reduction, batch_axis, -1.5, head
            )
            np.testing.assert_allclose(value, expected[0], rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(gradient, expected[1], rtol=1e-12, atol=1e-14)
            np.testing.assert_array_equal(value, loss(pred, label, weight))
            np.testing.assert_array_equal(
                gradient, loss.gradient(pred, label, weight, head=head)
            )


@pytest.mark.parametrize("name", POINTWISE)
def test_one_sweep_gives_what_two_give(name):
    pred, label = draw(name, (6, 4))
    loss = make(name)
    for wrt in ["pred", second_name(loss), "sample_weight"]:
        arguments = (pred, label, np.linspace(0.5, 2.0, 6)[:, np.newaxis])
        value, gradient = loss.value_and_gradient(*arguments, wrt=wrt)
        np.testing.assert_array_equal(value, loss(*arguments))
        np.testing.assert_array_equal(gradient, loss.gradient(*arguments, wrt=wrt))


# --- objects --------------------------------------------------------------------------

EVERY = [
    L2Loss(), L1Loss(0.5), HuberLoss(2, form="unit_curvature"), losses.HingeLoss(2),
    losses.SquaredHingeLoss(), losses.LogisticLoss(label_format="binary"),
    losses.SigmoidBCELoss(True), losses.SoftmaxCELoss(1, False),
    losses.KLDivLoss(False), losses.PoissonNLLLoss(compute_full=True),
    losses.TripletLoss(0.5, batch_axis=1),
    losses.CosineEmbeddingLoss(margin=0.5), losses.SDMLLoss(0.1),
    losses.CTCLoss("TNC", reduction="sum"),
]  # fmt: skip


@pytest.mark.parametrize("loss", EVERY, ids=lambda loss: type(loss).__name__)
def test_an_object_like_any_other(loss):
    assert eval(repr(loss), vars(losses)) == loss
    assert pickle.loads(pickle.dumps(loss)) == loss
    other = type(loss)(reduction="none")
    assert other != loss
    assert loss != object()
    assert "reduction='none'" in repr(other)


def test_every_loss_is_listed():
    kinds = {type(loss) for loss in EVERY}
    public = [getattr(losses, name) for name in losses.__all__]
    listed = {kind for kind in public if isinstance(kind, type)}
    assert listed - kinds == {losses.Loss, LabelLoss, losses.BoostingObjective}


def test_the_names_of_gluon():
    assert losses.SigmoidBCELoss is losses.SigmoidBinaryCrossEntropyLoss
    assert losses.SoftmaxCELoss is losses.SoftmaxCrossEntropyLoss


def test_a_loss_without_terms():
    with pytest.raises(NotImplementedError, match="LabelLoss"):
        LabelLoss()([1.0], [1.0])


# --- errors ---------------------------------------------------------------------------

ONE = np.ones((2, 3))
TWO = np.ones((2, 3, 4))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: HuberLoss(0), "rho must be a number > 0, got 0"),
        (lambda: HuberLoss(-1.0), "rho must be a number > 0, got -1.0"),
        (lambda: HuberLoss(np.nan), "rho must be a number > 0, got nan"),
        (lambda: HuberLoss(form="huber"), "form must be 'unit_slope' or 'unit_curvat"),
        (lambda: L2Loss(reduction="avg"), "reduction must be 'batch', 'mean', 'sum' o"),
        (lambda: losses.SDMLLoss(1.0), "smoothing_parameter must be a number >= 0 and"),
        (lambda: losses.CTCLoss("CTN"), "layout must be 'NTC' or 'TNC', got 'CTN'"),
        (lambda: L2Loss()(ONE, np.ones(5)), r"label must have as many elements as pre"),
        (lambda: L2Loss()(ONE, np.ones(5)), r"got shape \(5,\) for pred of shape \(2,"),
        (lambda: L2Loss()(ONE, ONE, np.ones(2)), r"sample_weight .*\(2, 3\), .*\(2,\)"),
        (lambda: L2Loss()(ONE[0], ONE[0], np.ones((3, 1))), r"\(3,\), .*\(3, 1\)"),
        (
            lambda: L2Loss(batch_axis=2)(ONE, ONE),
            "batch_axis must be an axis of pred, g",
        ),
        (lambda: L2Loss()(1.0, 1.0), "batch_axis must be an axis of pred, got 0 for p"),
        (
            lambda: L2Loss(reduction="mean")([], []),
            "'mean' of an array without element",
        ),
        (lambda: L2Loss()(np.ones((3, 0)), np.ones((3, 0))), r"got shape \(3, 0\)"),
        (lambda: L2Loss()(["a"], [1.0]), "pred must be an array of real numbers"),
        (lambda: L2Loss()([1j], [1.0]), "pred must be an array of real numbers, got d"),
        (lambda: L2Loss().gradient(ONE, ONE, wrt="y"), "wrt must be 'pred' or 'label'"),
        (
            lambda: L2Loss().gradient(ONE, ONE, wrt="sample_weight"),
            "wrt must be 'pred'",
        ),
        (
            lambda: L2Loss().gradient(ONE, ONE, head=ONE),
            r"head must have the shape of t",
        ),
        (
            lambda: losses.HingeLoss()([1, 2], [1, 0]),
            r"-1 or 1, got 0.0 at index \(1,\)",
        ),
        (lambda: losses.LogisticLoss()(ONE, 2 * ONE), r"got 2.0 at index \(0, 0\)"),
        (
            lambda: losses.SigmoidBCELoss()(ONE, 2 * ONE),
            "label must be between 0 and 1",
        ),
        (
            lambda: losses.SigmoidBCELoss(True)(2 * ONE, ONE),
            "pred must be between 0 an",
        ),
        (
            lambda: losses.SigmoidBCELoss()(ONE, ONE, None, np.ones(2)),
            r"pos_weight must",
        ),
        (
            lambda: losses.SoftmaxCELoss()(ONE, [0, 3]),
            r"between 0 and 2, got 3.* \(1,\)",
        ),
        (
            lambda: losses.SoftmaxCELoss()(ONE, [0, 1.5]),
            "an integer between 0 and 2, go",
        ),
        (lambda: losses.SoftmaxCELoss()(ONE, [0]), r"\(1,\) for pred without its axis"),
        (
            lambda: losses.SoftmaxCELoss(axis=2)(ONE, [0, 1]),
            "axis must be an axis of pr",
        ),
        (
            lambda: losses.KLDivLoss()(ONE, -ONE),
            "label must be between 0 and 1, got -1",
        ),
        (
            lambda: losses.TripletLoss()(ONE, ONE, TWO),
            "negative must have as many eleme",
        ),
        (
            lambda: losses.CosineEmbeddingLoss()(ONE, ONE, [1, 2]),
            "label must be -1 or 1",
        ),
        (
            lambda: losses.CosineEmbeddingLoss(batch_axis=2)(TWO, TWO, np.ones(6)),
            "batch_axis must not be the last axis",
        ),
        (
            lambda: losses.SDMLLoss()(ONE[:1], ONE[:1]),
            "two entries or more along the b",
        ),
        (
            lambda: losses.SDMLLoss()(ONE, ONE.T),
            "x1 and x2 must be two-dimensional and",
        ),
        (
            lambda: losses.CTCLoss()(ONE, ONE),
            "pred must have the three axes NTC and la",
        ),
        (
            lambda: losses.CTCLoss()(TWO, [[0], [3]]),
            r"between 0 and 2, got 3.* \(1, 0\)",
        ),
        (
            lambda: losses.CTCLoss()(TWO, [[0]]),
            "label must have one entry for each of p",
        ),
        (
            lambda: losses.CTCLoss()(TWO, [[0], [1]], [4, 3]),
            "pred_lengths must be an in",
        ),
        (
            lambda: losses.CTCLoss()(TWO, [[0], [1]], None, [1, 2]),
            r"label_lengths must be an integer between 0 and 1, got 2.0 at .*\(1,\)",
        ),
    ],
)
def test_errors(function, message):
    with pytest.raises(ValueError, match=message):
        function()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: HuberLoss("1"), "rho must be a number > 0, got '1'"),
        (lambda: L2Loss(weight="1"), "weight must be a finite number, got '1'"),
        (lambda: L2Loss(batch_axis=0.0), "batch_axis must be an integer, got 0.0"),
        (lambda: losses.SigmoidBCELoss(1), "from_sigmoid must be True or False, got 1"),
        (lambda: losses.TripletLoss()(ONE, ONE, ONE, ONE), "positional arguments"),
    ],
)
def test_type_errors(function, message):
    with pytest.raises(TypeError, match=message):
        function()

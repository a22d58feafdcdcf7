"""Losses: gradients, weights, reductions, kinds of arrays, errors."""

import pickle
import tracemalloc

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from skhuber import losses
from skhuber._runtime import IS_COMPILED
from skhuber.losses import HuberLoss, L1Loss, L2Loss, LabelLoss

compiled = pytest.mark.compiled


class LogCoshLoss(LabelLoss):
    """The example of the documentation."""

    def terms(self, pred, label):
        r = pred - label

        def pull_back(wrt, factor):
            return factor * (np.tanh(r) if wrt == "pred" else -np.tanh(r))

        return np.logaddexp(r, -r) - np.log(2), pull_back


# --- examples of every loss -----------------------------------------------------------


def real(rng, *shape):
    return rng.normal(size=shape)


def sign(rng, *shape):
    return rng.choice([-1.0, 1.0], shape)


def binary(rng, *shape):
    return rng.choice([0.0, 1.0], shape)


def share(rng, *shape):
    return rng.uniform(0.05, 0.95, shape)


def count(rng, *shape):
    return rng.poisson(3.0, shape).astype(float)


def shares_of_classes(rng, *shape):
    x = rng.uniform(0.1, 1.0, shape)
    return x / x.sum(axis=-1, keepdims=True)


# Loss, and how to draw its first two arguments.
POINTWISE = {
    "l2": (L2Loss, {}, real, real),
    "l1": (L1Loss, {}, real, real),
    "huber": (HuberLoss, {"rho": 0.7}, real, real),
    "huber, unit curvature": (
        HuberLoss, {"rho": 0.7, "form": "unit_curvature"}, real, real,
    ),
    "hinge": (losses.HingeLoss, {"margin": 0.5}, real, sign),
    "squared hinge": (losses.SquaredHingeLoss, {}, real, sign),
    "logistic": (losses.LogisticLoss, {}, real, sign),
    "logistic, binary": (
        losses.LogisticLoss, {"label_format": "binary"}, real, binary,
    ),
    "cross-entropy": (losses.SigmoidBCELoss, {}, real, share),
    "cross-entropy of shares": (
        losses.SigmoidBCELoss, {"from_sigmoid": True}, share, share,
    ),
    "poisson": (losses.PoissonNLLLoss, {}, real, count),
    "poisson, full": (losses.PoissonNLLLoss, {"compute_full": True}, real, count),
    "poisson of rates": (
        losses.PoissonNLLLoss,
        {"from_logits": False, "compute_full": True},
        lambda rng, *shape: rng.uniform(0.5, 5.0, shape),
        count,
    ),
    "divergence": (losses.KLDivLoss, {}, real, share),
    "divergence of logits": (
        losses.KLDivLoss, {"from_logits": False}, real, shares_of_classes,
    ),
    "log cosh": (LogCoshLoss, {}, real, real),
}  # fmt: skip
ELEMENTWISE = [
    name
    for name, (kind, *_) in POINTWISE.items()
    if issubclass(kind, losses._elementwise.ElementwiseLoss)
]


def make(name, **parameters):
    kind, own, *_ = POINTWISE[name]
    return kind(**{**own, **parameters})


def draw(name, shape, seed=0):
    rng = np.random.default_rng(seed)
    _, _, first, second = POINTWISE[name]
    return first(rng, *shape), second(rng, *shape)


def second_name(loss):
    return loss._real[1]


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


# --- derivatives by differences -------------------------------------------------------


def check_by_differences(loss, arguments, wrt, rtol=1e-5):
    """Gradient of head · value against differences of it."""
    arguments = {k: np.asarray(v, dtype=float) for k, v in arguments.items()}
    value = np.asarray(loss(**arguments))
    head = np.linspace(0.5, 1.5, value.size).reshape(value.shape)

    def weighted(flat):
        moved = {**arguments, wrt: flat.reshape(arguments[wrt].shape)}
        return float(np.sum(head * loss(**moved)))

    step = 1e-6
    flat = arguments[wrt].ravel()
    differences = np.array(
        [
            (weighted(flat + step * e) - weighted(flat - step * e)) / (2 * step)
            for e in np.eye(flat.size)
        ]
    )
    gradient = loss.gradient(**arguments, wrt=wrt, head=head)
    assert gradient.shape == arguments[wrt].shape
    np.testing.assert_allclose(
        gradient.ravel(), differences, rtol=rtol, atol=rtol * np.abs(differences).max()
    )


# Where the first derivative jumps: of pred − label, or of pred · label.
KINKS = {"l1": [0.0], "huber": [-0.7, 0.7], "huber, unit curvature": [-0.7, 0.7]}
MARGINS = {"hinge": 0.5, "squared hinge": 1.0}


def is_beside_a_kink(name, pred, label, width):
    if name in MARGINS:
        return np.abs(pred * label - MARGINS[name]) < width
    kinks = np.array(KINKS.get(name, []))
    return (np.abs((pred - label)[..., np.newaxis] - kinks) < width).any(axis=-1)


@pytest.mark.parametrize("name", POINTWISE)
@given(seed=st.integers(0, 2**32 - 1))
def test_gradients_by_differences(name, seed):
    pred, label = draw(name, (3, 2), seed)
    pred = pred + 0.02 * is_beside_a_kink(name, pred, label, 0.01)
    loss = make(name, weight=1.5)
    weight = np.array([[0.5], [2.0], [-1.0]])
    arguments = {"pred": pred, second_name(loss): label, "sample_weight": weight}
    check_by_differences(loss, arguments, "pred")
    check_by_differences(loss, arguments, "sample_weight")
    if name not in ("hinge", "squared hinge", "logistic", "logistic, binary"):
        # Labels stay where they are allowed to be, and off Stirling's threshold.
        if name.startswith("poisson"):
            arguments["target"] = label + 0.5
        check_by_differences(loss, arguments, second_name(loss))


@pytest.mark.parametrize("name", [*KINKS, *MARGINS])
@pytest.mark.parametrize("side", [-1e-4, 1e-4])
@given(seed=st.integers(0, 2**32 - 1))
def test_derivatives_beside_every_kink(name, side, seed):
    """So near to it that a step of the differences does just not cross it."""
    rng = np.random.default_rng(seed)
    _, label = draw(name, (4, 2), seed)
    if name in MARGINS:
        pred = label * (MARGINS[name] + side)
    else:
        pred = label + rng.choice(KINKS[name], (4, 2)) + side
    loss = make(name)
    arguments = {"pred": pred, second_name(loss): label}
    check_by_differences(loss, arguments, "pred", rtol=1e-4)
    up, down = (loss.gradient(pred + h, label) for h in (1e-6, -1e-6))
    np.testing.assert_allclose(
        loss.hessian(pred, label), (up - down) / 2e-6, rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("name", ELEMENTWISE)
@given(seed=st.integers(0, 2**32 - 1))
def test_hessians_by_differences(name, seed):
    pred, label = draw(name, (3, 2), seed)
    pred = pred + 0.02 * is_beside_a_kink(name, pred, label, 0.01)
    loss = make(name, weight=1.5)
    weight = np.array([[0.5], [2.0], [-1.0]])
    head = np.array(1.25) if loss.reduction == "mean" else np.array([1.0, 2.0, 0.5])
    step = 1e-6
    up, down = (
        loss.gradient(pred + h, label, weight, head=head) for h in (step, -step)
    )
    hessian = loss.hessian(pred, label, weight, head=head)
    np.testing.assert_allclose(hessian, (up - down) / (2 * step), rtol=2e-4, atol=1e-7)


@given(rho=st.floats(1e-3, 1e3), side=st.sampled_from([-1.0, 1.0]))
def test_beside_the_knees_of_huber(rho, side):
    """Value and slope are continuous there; the curvature falls to zero."""
    at = side * rho
    inside, outside = at * (1 - 1e-9), at * (1 + 1e-9)
    for form, unit in [("unit_slope", rho), ("unit_curvature", 1.0)]:
        loss = HuberLoss(rho, form=form, reduction="none")
        values, slopes = loss.value_and_gradient([inside, at, outside], np.zeros(3))
        np.testing.assert_allclose(values, rho**2 / 2 / unit, rtol=1e-8)
        np.testing.assert_allclose(slopes, at / unit, rtol=1e-8)
        curvatures = loss.hessian([inside, at, outside], np.zeros(3))
        np.testing.assert_allclose(curvatures, [1 / unit, 1 / unit, 0], rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "pred", "label", "slope"),
    [
        (L1Loss(), 2.0, 2.0, 0.0),
        (HuberLoss(2.0), 3.0, 1.0, 1.0),
        (HuberLoss(2.0, form="unit_curvature"), 3.0, 1.0, 2.0),
        (losses.HingeLoss(), 1.0, 1.0, 0.0),
        (losses.SquaredHingeLoss(), -1.0, -1.0, 0.0),
        # Gluon has −z at 0.
        (losses.LogisticLoss(), 0.0, 1.0, -0.5),
        (losses.LogisticLoss(), 0.0, -1.0, 0.5),
        (losses.SigmoidBCELoss(), 0.0, 0.25, 0.25),
    ],
)
def test_gradient_at_a_kink(loss, pred, label, slope):
    assert loss.gradient([pred], [label])[0] == slope


OTHERS = {
    "softmax": (
        losses.SoftmaxCELoss(axis=1, weight=2.0),
        {"pred": (3, 4, 2), "label": np.array([[0, 3], [1, 1], [2, 0]])},
        ["pred"],
    ),
    "softmax, dense": (
        losses.SoftmaxCELoss(sparse_label=False),
        {"pred": (3, 4), "label": shares_of_classes(np.random.default_rng(0), 3, 4)},
        ["pred", "label"],
    ),
    "log-probabilities": (
        losses.SoftmaxCELoss(from_logits=True),
        {"pred": (3, 4), "label": np.array([0, 3, 1])},
        ["pred"],
    ),
    "triplet": (
        losses.TripletLoss(margin=2.0, batch_axis=1),
        {"pred": (3, 4, 2), "positive": (3, 4, 2), "negative": (3, 4, 2)},
        ["pred", "positive", "negative"],
    ),
    "cosine": (
        losses.CosineEmbeddingLoss(margin=-0.9),
        {"input1": (4, 3), "input2": (4, 3), "label": np.array([1, -1, -1, 1])},
        ["input1", "input2"],
    ),
    "cosine of a table": (
        losses.CosineEmbeddingLoss(batch_axis=1, weight=3.0),
        {
            "input1": (2, 3, 4),
            "input2": (2, 3, 4),
            "label": np.array([[1, -1, 1], [1, 1, -1]]),
        },
        ["input1", "input2"],
    ),
    "sdml": (losses.SDMLLoss(weight=2.0), {"x1": (4, 3), "x2": (4, 3)}, ["x1", "x2"]),
    "sdml, across": (
        losses.SDMLLoss(0.0, batch_axis=1),
        {"x1": (3, 4), "x2": (3, 4)},
        ["x1", "x2"],
    ),
    "ctc": (
        losses.CTCLoss(weight=0.5),
        {"pred": (3, 5, 4), "label": np.array([[0, 0], [1, -1], [-1, 2]])},
        ["pred"],
    ),
    "ctc, time first": (
        losses.CTCLoss("TNC", "TN"),
        {
            "pred": (6, 2, 3),
            "label": np.array([[0, 1], [1, 1]]),
            "pred_lengths": np.array([6, 4]),
            "label_lengths": np.array([1, 2]),
        },
        ["pred"],
    ),
    "pos_weight of columns": (
        losses.SigmoidBCELoss(),
        {"pred": (3, 4), "label": np.full((3, 4), 0.25), "pos_weight": (4,)},
        ["pred", "label", "pos_weight"],
    ),
    "pos_weight of rows": (
        losses.SigmoidBCELoss(batch_axis=1),
        {"pred": (3, 4), "label": np.full((3, 4), 0.25), "pos_weight": (3, 1)},
        ["pred", "label", "pos_weight"],
    ),
}


@pytest.mark.parametrize("name", OTHERS)
@given(seed=st.integers(0, 2**32 - 1))
def test_other_gradients_by_differences(name, seed):
    loss, arguments, names = OTHERS[name]
    rng = np.random.default_rng(seed)
    arguments = {
        k: rng.uniform(0.5, 2.0, v)
        if k == "pos_weight"
        else (rng.normal(size=v) if isinstance(v, tuple) else v)
        for k, v in arguments.items()
    }
    if name == "cosine":  # keep off the margin
        c = losses.CosineEmbeddingLoss(margin=-1.0, reduction="none")(
            arguments["input1"], arguments["input2"], -np.ones(4)
        )
        arguments["label"] = np.where(np.abs(c - 0.1) < 0.01, 1, arguments["label"])
    if name == "cosine of a table":
        arguments["label"] = np.ones((2, 3))
    if name == "triplet" and np.any(np.abs(loss(**arguments)) < 1e-3):
        arguments["positive"] = arguments["positive"] + 3.0
    for wrt in names:
        check_by_differences(loss, arguments, wrt, rtol=2e-5)


def brute_force_ctc(log_p, label):
    """−log of the sum over all paths of frames that spell the label."""
    frames, classes = log_p.shape
    total = 0.0
    for path in np.ndindex(*[classes] * frames):
        spelt = [k for t, k in enumerate(path) if t == 0 or k != path[t - 1]]
        if [k for k in spelt if k != classes - 1] == label:
            total += np.exp(sum(log_p[t, k] for t, k in enumerate(path)))
    return -np.log(total)


@pytest.mark.parametrize("label", [[], [0], [0, 1], [1, 1], [0, 1, 0]])
def test_ctc_by_enumeration(label):
    pred = np.random.default_rng(2).normal(size=(1, 5, 3)) * 2
    log_p = pred[0] - np.log(np.exp(pred[0]).sum(axis=1, keepdims=True))
    padded = np.array([label + [-1] * (4 - len(label))])
    value = losses.CTCLoss()(pred, padded)
    np.testing.assert_allclose(value, brute_force_ctc(log_p, label), rtol=1e-12)


def test_ctc_of_labels_that_do_not_fit():
    pred = np.random.default_rng(0).normal(size=(3, 3, 4))
    label = [[0, 0, 1], [0, 1, 2], [1, -1, -1]]
    value, gradient = losses.CTCLoss().value_and_gradient(
        pred, label, pred_lengths=[3, 3, 0]
    )
    np.testing.assert_array_equal(np.isinf(value), [True, False, True])
    assert not gradient[[0, 2]].any()
    assert gradient[1].any()
    empty = losses.CTCLoss()(pred[:1], [[-1]], pred_lengths=[0])
    np.testing.assert_array_equal(empty, [0.0])


def test_ctc_of_long_utterances_does_not_underflow():
    pred = np.zeros((1, 3000, 3))
    pred[0, :, 0] = 50.0
    value, gradient = losses.CTCLoss().value_and_gradient(pred, [[1]])
    # One frame of 3000 has class 1, all others the blank.
    np.testing.assert_allclose(value, 3000 * 50.0 - np.log(4498500.0), rtol=1e-6)
    np.testing.assert_allclose(gradient.sum(axis=2), 0.0, atol=1e-8)


# --- kinds of arrays ------------------------------------------------------------------


def kinds_of(array):
    strided = np.repeat(array, 2, axis=-1)[..., ::2]
    frozen = array.copy()
    frozen.flags.writeable = False
    yield from (np.asfortranarray(array), strided, frozen, array.astype(">f8"))
    yield array.tolist()


@pytest.mark.parametrize("name", POINTWISE)
def test_every_kind_of_array(name):
    pred, label = draw(name, (4, 3))
    weight = np.linspace(0.5, 1.5, 12).reshape(4, 3)
    loss = make(name)
    expected = loss.value_and_gradient(pred, label, weight)
    for one in kinds_of(pred):
        for other in kinds_of(label):
            for w in kinds_of(weight):
                value, gradient = loss.value_and_gradient(one, other, w)
                np.testing.assert_array_equal(value, expected[0])
                np.testing.assert_array_equal(gradient, expected[1])


@pytest.mark.parametrize("name", POINTWISE)
def test_float32_stays_and_integers_become_float64(name):
    pred, label = (a.astype(np.float32) for a in draw(name, (4, 3)))
    loss = make(name)
    value, gradient = loss.value_and_gradient(pred, label)
    assert value.dtype == gradient.dtype == np.float32
    exact = loss(pred.astype(float), label.astype(float))
    np.testing.assert_allclose(value, exact, rtol=3e-6, atol=1e-7)
    whole = np.ones((4, 3), int)
    assert loss(whole, whole).dtype == np.float64
    # An integer label says nothing about the precision.
    assert loss(pred, whole).dtype == np.float32
    assert loss(pred.astype(float), label).dtype == np.float64


def test_labels_of_another_shape_are_taken_in_order():
    pred = np.arange(6.0).reshape(2, 3)
    label = np.zeros((3, 2))
    loss = L2Loss()
    np.testing.assert_array_equal(loss(pred, label), loss(pred, label.ravel()))
    assert loss.gradient(pred, label, wrt="label").shape == (3, 2)


def test_numbers():
    value = HuberLoss(2.0, reduction="mean")(3.0, 0.0)
    assert np.ndim(value) == 0
    assert value == 2.0
    assert HuberLoss(2.0, reduction="none").gradient(3.0, 0.0).shape == ()


def test_nothing():
    pred = np.empty((0, 3))
    for reduction, shape in [("batch", (0,)), ("none", (0, 3)), ("sum", ())]:
        for loss in (L2Loss(reduction=reduction), LogCoshLoss(reduction=reduction)):
            value, gradient = loss.value_and_gradient(pred, pred)
            assert value.shape == shape
            assert gradient.shape == (0, 3)
            assert value.sum() == 0
    assert losses.TripletLoss()(pred, pred, pred).shape == (0,)
    assert losses.CTCLoss()(np.empty((0, 4, 3)), np.empty((0, 2))).shape == (0,)
    assert losses.SoftmaxCELoss()(pred, np.empty(0)).shape == (0,)


def test_nan_and_infinite_residuals():
    pred = np.array([np.nan, np.inf, -np.inf, 1.0])
    for loss, slope in [(HuberLoss(2.0), 1.0), (L1Loss(), 1.0)]:
        values, slopes = loss.value_and_gradient(pred, np.zeros(4))
        np.testing.assert_array_equal(values[:3], [np.nan, np.inf, np.inf])
        np.testing.assert_array_equal(slopes[:3], [np.nan, slope, -slope])
        assert np.isfinite([values[3], slopes[3]]).all()
    for loss in (losses.HingeLoss(), losses.SquaredHingeLoss()):
        values, slopes = loss.value_and_gradient([np.nan], [1.0])
        assert np.isnan([values, slopes]).all()


@pytest.mark.parametrize("size", [1e4, 1e300])
def test_huge_logits(size):
    pred = np.array([size, -size, size, -size])
    binary = np.array([1.0, 0.0, 0.0, 1.0])
    for loss, label in [
        (losses.LogisticLoss(), 2 * binary - 1),
        (losses.SigmoidBCELoss(), binary),
    ]:
        values, slopes = loss.value_and_gradient(pred, label)
        np.testing.assert_array_equal(values, [0, 0, size, size])
        np.testing.assert_array_equal(slopes, [0, 0, 1, -1])
    logits = np.array([[size, 0.0], [-size, 0.0]])
    np.testing.assert_array_equal(losses.SoftmaxCELoss()(logits, [0, 0]), [0, size])


def test_small_probabilities_keep_their_digits():
    value = losses.SigmoidBCELoss()([-40.0], [0.0])
    np.testing.assert_allclose(value, np.exp(-40.0), rtol=1e-12)


def test_a_vector_of_zeros_has_no_gradient():
    loss = losses.CosineEmbeddingLoss()
    a, b = np.zeros((2, 3)), np.ones((2, 3))
    for wrt in ("input1", "input2"):
        gradient = loss.gradient(a, b, [1, -1], wrt=wrt)
        np.testing.assert_array_equal(gradient, np.zeros((2, 3)))
    np.testing.assert_array_equal(loss(a, b, [1, -1]), [1.0, 0.0])


def test_far_vectors_do_not_overflow():
    value = losses.CosineEmbeddingLoss()([[1e200, 0.0]], [[1e250, 1e250]], [1])
    np.testing.assert_allclose(value, 1 - np.sqrt(0.5))


def test_nan_stays_in_losses_of_classes():
    label = [[0.0, 1.0]]
    for loss in (
        losses.KLDivLoss(),
        losses.SoftmaxCELoss(sparse_label=False, from_logits=True),
    ):
        value, gradient = loss.value_and_gradient([[np.nan, -0.1]], label)
        assert np.isnan(value).all()
        assert np.isnan(gradient[0, 0])
        # But a class without probability has no part, however improbable.
        value, gradient = loss.value_and_gradient([[-np.inf, -0.1]], label)
        assert np.isfinite(value).all()
        assert np.isfinite(gradient).all()
    value, gradient = losses.TripletLoss().value_and_gradient(
        [[np.nan, 0.0]], [[1.0, 1.0]], [[0.0, 1.0]]
    )
    assert np.isnan(value).all()
    assert np.isnan(gradient).all()


def test_infinite_logits():
    for loss, label in [
        (losses.LogisticLoss(), [1, -1, 1, -1]),
        (losses.SigmoidBCELoss(), [1, 0, 1, 0]),
    ]:
        logits = [np.inf, -np.inf, -np.inf, np.inf]
        values, slopes = loss.value_and_gradient(logits, label)
        np.testing.assert_array_equal(values, [0, 0, np.inf, np.inf])
        np.testing.assert_array_equal(slopes, [0, 0, -1, 1])
        assert np.isnan(loss([np.nan], [1])).all()
    none = losses.PoissonNLLLoss(reduction="none")
    np.testing.assert_array_equal(none([-np.inf], [0]), [0.0])
    none = losses.PoissonNLLLoss(from_logits=False, epsilon=0, reduction="none")
    values, slopes = none.value_and_gradient([0.0], [0])
    np.testing.assert_array_equal([values, slopes], [[0.0], [1.0]])


def test_thresholds_without_end():
    r = np.array([1e-300, 2.0, -3e10])
    for rho in (5e-324, 1e-310, 1e-300):
        slopes = HuberLoss(rho).gradient(r, np.zeros(3))
        np.testing.assert_allclose(slopes, [1, 1, -1], rtol=1e-15)
    unbounded = HuberLoss(np.inf, form="unit_curvature")
    np.testing.assert_array_equal(unbounded(r, np.zeros(3)), r**2 / 2)
    assert not HuberLoss(np.inf)(r, np.zeros(3)).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_small_types_are_computed_in_float64(dtype):
    loss = losses.TripletLoss(margin=0)
    arguments = [np.array([[x]], np.float32) for x in (0, 4097, 4096)]
    assert loss(*arguments) == 8193
    assert L2Loss()(np.ones(2, dtype), np.zeros(2, dtype)).dtype == np.float32
    n = 2_000_000
    ones = np.ones((n, 2), np.float32)
    gradient = L1Loss(reduction="sum").gradient(
        ones, 0 * ones, np.full(2, 0.1, np.float32), wrt="sample_weight"
    )
    np.testing.assert_array_equal(gradient, [n, n])
    total = L1Loss(reduction="sum")(
        np.full(n, 0.1, np.float32), np.zeros(n, np.float32)
    )
    np.testing.assert_allclose(total, 0.1 * n, rtol=1e-7)


def test_deep_metric_learning_far_from_the_origin():
    rng = np.random.default_rng(0)
    x1, x2 = np.round(rng.normal(size=(2, 5, 3)) * 64) / 64
    loss = losses.SDMLLoss()
    for wrt in ("x1", "x2"):
        near, far = (loss.gradient(x1 + c, x2 + c, wrt=wrt) for c in (0, 2.0**30))
        np.testing.assert_allclose(far, near, atol=1e-12)
    assert loss(np.empty((0, 3)), np.empty((0, 3))).shape == (0,)


def test_weights_of_the_positive_class_over_many_chunks():
    rng = np.random.default_rng(0)
    pred, label = rng.normal(size=(900, 7)), rng.uniform(size=(900, 7))
    weight = rng.uniform(0.5, 2, 7)
    loss = losses.SigmoidBCELoss()
    rows = [
        loss(p[None], z[None], None, weight)[0]
        for p, z in zip(pred, label, strict=True)
    ]
    np.testing.assert_allclose(loss(pred, label, None, weight), rows, rtol=1e-12)


def test_a_label_far_down_is_found():
    label = np.ones((70_000, 2))
    label[69_999, 1] = 3.0
    with pytest.raises(ValueError, match=r"got 3.0 at index \(69999, 1\)"):
        losses.HingeLoss()(label, label)


def test_the_terms_of_ctc_are_checked_too():
    """Out-of-range numbers would read memory that is not ours."""
    pred = np.zeros((1, 3, 3))
    loss = losses.CTCLoss()
    with pytest.raises(ValueError, match="label must be an integer between 0 and 1"):
        loss.terms(pred, [[10**9]], [3], [1])
    with pytest.raises(ValueError, match="pred_lengths must be an integer between 0"):
        loss.terms(pred, [[0]], [30_000], [1])
    terms, pull_back = loss.terms(pred, [[0]])
    np.testing.assert_array_equal(terms, loss(pred, [[0]]))
    np.testing.assert_array_equal(
        pull_back("pred", np.array(2.0)), 2 * loss.gradient(pred, [[0]])
    )
    with pytest.raises(ValueError, match="pred must have a class beside the blank"):
        loss(np.zeros((2, 3, 1)), [[-1], [0]])
    with pytest.raises(ValueError, match=r"got 5.0 at index \(1, 0\)"):
        losses.CTCLoss(label_layout="TN")(pred, [[0], [5]])


def test_what_a_new_loss_may_do():
    class Wrong(LabelLoss):
        def terms(self, pred, label):
            return (pred - label).sum(axis=1), lambda wrt, factor: factor

    with pytest.raises(ValueError, match=r"Wrong.terms must return terms of shape"):
        Wrong()(np.ones((2, 3)), np.ones((2, 3)))

    class InPlace(LabelLoss):
        def terms(self, pred, label):
            pred -= label
            return pred, lambda wrt, factor: factor

    with pytest.raises(ValueError, match="read-only"):
        InPlace()(np.ones(3), np.ones(3))

    class Identity(LabelLoss):
        def terms(self, pred, label):
            return pred, lambda wrt, factor: factor

    gradient = Identity(reduction="sum").gradient(np.ones(3), np.ones(3))
    gradient += 1  # its own, and whole
    np.testing.assert_array_equal(gradient, [2, 2, 2])


# --- lucid's printed examples, with the right numbers ---------------------------------


def test_examples_of_lucids_documentation():
    mean = HuberLoss(form="unit_curvature", reduction="mean")
    pred, label = [[1.5, 2.0, 3.5, 4.0]], [[1.0, 2.5, 3.0, 5.0]]
    value, gradient = mean.value_and_gradient(pred, label)
    assert value == 0.21875
    np.testing.assert_array_equal(gradient, [[0.125, -0.125, 0.125, -0.25]])
    total = HuberLoss(form="unit_curvature", reduction="sum")
    value, gradient = total.value_and_gradient(
        [[2.0, 1.0, 3.0, 4.0]], [[1.0, 2.0, 2.0, 5.0]]
    )
    assert value == 2.0
    np.testing.assert_array_equal(gradient, [[1.0, -1.0, 1.0, -1.0]])


# --- size -----------------------------------------------------------------------------


@compiled
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_array_but_the_results(dtype):
    rng = np.random.default_rng(0)
    pred, label = (rng.normal(size=2_000_000).astype(dtype) for _ in range(2))
    loss = HuberLoss(0.5, reduction="mean")
    loss.value_and_gradient(pred, label)  # compiles, and starts the threads
    tracemalloc.start()
    value = loss(pred, label)
    _, of_value = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    both = loss.value_and_gradient(pred, label)
    _, of_both = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert both[0] == value
    buffers = 2**18  # bytes, whatever the size of the arrays
    assert of_value < buffers < 0.05 * pred.nbytes
    assert of_both < pred.nbytes + buffers


@compiled
@pytest.mark.skipif(not IS_COMPILED, reason="threads are numba's")
@pytest.mark.parametrize("reduction", ["batch", "mean", "none"])
def test_the_same_bits_with_any_number_of_threads(reduction):
    rng = np.random.default_rng(0)
    pred, label = rng.normal(size=(2, 700, 1000))
    loss = HuberLoss(0.5, reduction=reduction)
    expected = loss.value_and_gradient(pred, label, pred[:, :1])
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        value, gradient = loss.value_and_gradient(pred, label, pred[:, :1])
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(value, expected[0])
    np.testing.assert_array_equal(gradient, expected[1])


def test_optimisers_find_the_median_with_it():
    y = np.array([0.0, 1.0, 2.0, 3.0, 100.0])
    loss = HuberLoss(0.25, reduction="sum")

    def slope(b):
        return loss.gradient(np.full(5, b[0]), y).sum()

    at = approx_fprime(np.array([2.1]), lambda b: float(loss(np.full(5, b[0]), y)))
    np.testing.assert_allclose(at, slope([2.1]), rtol=1e-6)
    assert slope([1.9]) < 0 < slope([2.1])


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

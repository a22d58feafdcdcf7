"""Gradients and Hessians of the losses by differences, at kinks and by enumeration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loss_examples import (
    ELEMENTWISE,
    POINTWISE,
    draw,
    make,
    second_name,
    shares_of_classes,
)
from skhuber import losses
from skhuber.losses import HuberLoss, L1Loss


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

"""Tests of the losses on every kind of array, and on large ones."""

import numba
import numpy as np
import pytest
from scipy.optimize import approx_fprime

from loss_examples import POINTWISE, LogCoshLoss, draw, make
from peaks import peak_of
from skhuber import losses
from skhuber._runtime import IS_COMPILED
from skhuber.losses import HuberLoss, L1Loss, L2Loss, LabelLoss

compiled = pytest.mark.compiled


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
    value, of_value = peak_of(lambda: loss(pred, label))
    both, of_both = peak_of(lambda: loss.value_and_gradient(pred, label))
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

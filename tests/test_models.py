"""Quadratic models: their minima, their gaps, and what singular ones know."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quadratics import minimum_within, no_bounds, spread
from skhuber._solver.matrix_free import MatrixFreeModel
from skhuber._solver.quadratic import LEAST_PIVOT, Factor, Model, Soft


def exact_solution(model, gradient):
    """H⁻¹g of a model in rational numbers, by elimination; and ½ gᵀH⁻¹g."""
    q = len(gradient)
    exact = np.vectorize(Fraction, otypes=[object])
    damping = Fraction(model.damping)
    H = (1 + damping) * exact(model.inside) + np.diag(exact(model.penalty))
    if model.outside is not None:
        H = H + damping * exact(model.outside)
    right = exact(gradient)
    table = np.column_stack([H, right])
    for k in range(q):
        pivot = next(i for i in range(k, q) if table[i, k] != 0)
        table[[k, pivot]] = table[[pivot, k]]
        for i in range(k + 1, q):
            table[i] = table[i] - table[i, k] / table[k, k] * table[k]
    x = np.zeros(q, dtype=object)
    for k in reversed(range(q)):
        x[k] = (table[k, q] - table[k, k + 1 : q] @ x[k + 1 :]) / table[k, k]
    return x.astype(float), float(right @ x) / 2


def integers(n, q, seed=0):
    """A matrix of small integers, whose Gram matrix has no rounding errors."""
    return np.random.default_rng(seed).integers(-4, 5, size=(n, q)).astype(float)


DIRECTIONS = {
    "none": np.eye(6),
    "two equal columns": np.eye(6)[:, [0, 1, 2, 3, 4, 4]],
    "a sum of columns": np.column_stack([np.eye(6)[:, :5], np.arange(6) < 3]),
    "two of them": np.eye(6)[:, [0, 1, 2, 3, 2, 3]],
    "a zero column": np.eye(6) * (np.arange(6) != 2),
    "one direction": np.outer(np.ones(6), [1.0, 2.0, -1.0, 1.0, 3.0, 1.0]),
}
UNITS = {
    "one unit": np.ones(6),
    "many units": 2.0 ** np.array([0, 20, -20, 5, -7, 30]),
}
# What is known of a pivot just above its rounding error, which is taken for 32·6·ε.
DIGITS = 1e-3
each_matrix = pytest.mark.parametrize("weak", DIRECTIONS)
each_unit = pytest.mark.parametrize("unit", UNITS)


def singular_model(weak, unit, penalty, outside=False, damping=0.0):
    Z = integers(9, 6) @ DIRECTIONS[weak]
    # (With a factor of the penalty's own unit for each column.)
    size = UNITS[unit]
    more = None
    if outside:
        more = integers(9, 6, seed=1)
        more = more.T @ more * np.outer(size, size)
    inside = Z.T @ Z * np.outer(size, size)
    return Model(inside, more, penalty * size**2, damping)


@each_matrix
@each_unit
@pytest.mark.parametrize("power", [-10, -40, -60])
def test_a_gap_along_directions_that_only_the_penalty_curves(weak, unit, power):
    model = singular_model(weak, unit, 2.0**power * np.arange(1.0, 7.0))
    for seed in range(5):
        g = integers(1, 6, seed=10 + seed)[0] * UNITS[unit]
        x, gap = exact_solution(model, g)
        assert model.factor.gap(g) == pytest.approx(gap, rel=DIGITS)
        # The step is judged by the value that it leads to.
        error = (model.factor.solve(g) - x) * UNITS[unit]
        data, penalty = model.inside, model.penalty
        data = data / np.outer(UNITS[unit], UNITS[unit])
        excess = 0.5 * error @ data @ error
        excess += 0.5 * (penalty / UNITS[unit] ** 2) @ error**2
        assert excess <= DIGITS * gap


@each_matrix
@each_unit
@pytest.mark.parametrize("damping", [2.0**-10, 2.0**-27, 2.0**-50])
def test_a_gap_along_directions_that_only_outliers_curve(weak, unit, damping):
    penalty = np.full(6, 2.0**-70)
    model = singular_model(weak, unit, penalty, outside=True, damping=damping)
    for seed in range(5):
        g = integers(1, 6, seed=20 + seed)[0] * UNITS[unit]
        _, gap = exact_solution(model, g)
        assert model.factor.gap(g) == pytest.approx(gap, rel=DIGITS)


@each_matrix
@each_unit
def test_a_small_gap_does_not_hide_beside_a_large_one(weak, unit):
    """A gradient in the range of the data, and 1e-9 of one along a weak direction."""
    model = singular_model(weak, unit, np.full(6, 2.0**-55))
    direction = np.array([0.0, 0.0, 0.0, 0.0, 1.0, -1.0]) * 2.0**-30
    g = (integers(9, 6)[0] @ DIRECTIONS[weak] + direction) * UNITS[unit]
    _, gap = exact_solution(model, g)
    assert model.factor.gap(g) == pytest.approx(gap, rel=DIGITS)


@pytest.mark.parametrize("seed", range(3))
def test_rounded_sums_tell_of_no_more_than_they_know(seed):
    """Columns equal but for 1e-9: the sums have lost in what they differ."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(200, 5))
    Z[:, 4] = Z[:, 3] + 1e-9 * Z[:, 0]
    model = Model(Z.T @ Z, None, np.full(5, 1e-9))
    along = np.array([0.0, 0.0, 0.0, 1.0, -1.0])
    # The curvature along the difference is that of the penalty, 2e-9, to some digits
    # (and 2e-16 of the data, which is lost).
    assert model.factor.gap(along) == pytest.approx(0.5 * 4 / 2e-9, rel=1e-2)
    assert model.factor.least_pivot <= LEAST_PIVOT


def test_a_singular_model_moves_nothing_along_its_null_space():
    H = np.array([[2.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    factor = Model(H, None, np.zeros(3), noise=1e-13).factor
    x = factor.solve(np.array([4.0, 4.0, 0.0]))
    np.testing.assert_allclose(x, [1.0, 1.0, 0.0], atol=1e-12)
    assert factor.gap(np.array([4.0, 4.0, 0.0])) == pytest.approx(4.0)
    assert factor.least_pivot == 0.0


def test_a_slope_along_a_flat_direction_is_no_certificate():
    factor = Model(np.ones((2, 2)), None, np.zeros(2), noise=1e-13).factor
    assert factor.gap(np.array([1.0, 1.0])) == pytest.approx(0.5)
    # Across, the function falls without end.
    assert factor.gap(np.array([1e-9, -1e-9])) > 1e-4
    assert factor.gap(np.array([1e-14, -1e-14])) < 1e-20  # a rounding error


def test_a_matrix_of_zeros():
    factor = Model(np.zeros((2, 2)), None, np.zeros(2)).factor
    np.testing.assert_array_equal(factor.solve(np.zeros(2)), np.zeros(2))
    assert factor.gap(np.zeros(2)) == 0.0
    assert Model(np.zeros((0, 0)), None, np.zeros(0)).factor.gap(np.zeros(0)) == 0.0


def test_the_least_pivot():
    correlation = 0.999
    H = np.array([[4.0, 6.0 * correlation], [6.0 * correlation, 9.0]])
    found = Factor(H, Soft(np.zeros(2))).least_pivot
    assert found == pytest.approx(1 - correlation**2)
    assert Factor(np.eye(3), Soft(np.zeros(3))).least_pivot == 1.0


# --- minima within bounds ---------------------------------------------------------

numbers = st.floats(-2, 2, width=32)


@given(
    st.integers(0, 1000),
    st.lists(numbers, min_size=5, max_size=5),
    st.lists(
        st.one_of(st.just(np.inf), st.just(0.0), st.floats(0, 2)),
        min_size=5,
        max_size=5,
    ),
    st.sampled_from([3.0, 1e4]),
)
def test_the_minimum_within_bounds(seed, gradient, room, condition):
    H, _ = spread(5, condition, seed)
    g, lowest = np.array(gradient), -np.array(room)
    step = Model(H, None, np.zeros(5)).minimise(g, lowest)
    assert (step.x >= lowest).all()
    fall = -(g @ step.x + 0.5 * step.x @ H @ step.x)
    assert step.fall == pytest.approx(fall, rel=1e-6, abs=1e-13)
    expected = minimum_within(H, -g, np.minimum(lowest, -1e-300))
    best = -(g @ expected + 0.5 * expected @ H @ expected)
    assert fall == pytest.approx(best, rel=1e-6, abs=1e-12)


def test_a_variable_is_let_go_if_others_pull_it_off_its_bound():
    # Its gradient holds it at first; that of the others' minimum does not.
    H = np.array([[1.0, 0.99], [0.99, 1.0]])
    g, lowest = np.array([0.1, 1.0]), np.array([0.0, -np.inf])
    expected = -np.linalg.solve(H, g)
    assert expected[0] > 0
    models = [Model(H, None, np.zeros(2)), matrix_free(Model(H, None, np.zeros(2)))]
    for model in models:
        step = model.minimise(g, lowest, 1e-12)
        np.testing.assert_allclose(step.x, expected, rtol=1e-6)
        assert step.fall == pytest.approx(0.5 * g @ np.linalg.solve(H, g))


# --- learning ---------------------------------------------------------------------


def test_a_model_learns_the_change_of_the_gradient():
    H, step = spread(condition=100.0)
    change = H @ step * 1.5 + 0.1 * step
    for damping in (0.0, 0.5):
        model = Model(H, np.eye(6), np.full(6, 0.25), damping).learnt(step, change)
        np.testing.assert_allclose(model.hessian @ step, change, rtol=1e-10)
        assert np.linalg.eigvalsh(model.hessian).min() > 0
    # Along other directions (conjugate to the step) it knows what it knew.
    model = Model(H, None, np.zeros(6)).learnt(step, 1.5 * H @ step)
    other = np.ones(6) - (np.ones(6) @ H @ step) / (step @ H @ step) * step
    np.testing.assert_allclose(model.hessian @ other, H @ other, rtol=1e-8)


@pytest.mark.parametrize("factor", [-1.0, 0.0, 1e-12])
def test_a_change_that_shows_no_curvature_teaches_nothing(factor):
    H, step = spread(condition=100.0)
    model = Model(H, None, np.zeros(6))
    assert model.learnt(step, factor * (H @ step)) is model


def test_the_diagonal_of_what_lies_outside_will_do():
    outside = np.array([1.0, 0.0, 3.0])
    models = [
        Model(np.ones((3, 3)), one, np.array([0.5, 0.0, 1.0])).damped(0.1, ridge=0.2)
        for one in (outside, np.diag(outside))
    ]
    np.testing.assert_allclose(models[0].hessian, models[1].hessian, rtol=1e-15)
    gradient = np.array([1.0, -2.0, 0.5])
    gaps = [model.factor.gap(gradient) for model in models]
    assert gaps[0] == pytest.approx(gaps[1], rel=1e-14)


def test_damped_scaled_and_stiffened():
    A, B, D = np.diag([1.0, 2.0]), np.diag([3.0, 5.0]), np.array([7.0, 11.0])
    model = Model(A, B, D, 0.5)
    np.testing.assert_array_equal(np.diagonal(model.hessian), [10.0, 16.5])
    assert model.damped(0.5) is model
    np.testing.assert_array_equal(model.damped(0.0).hessian, A + np.diag(D))
    np.testing.assert_array_equal(np.diagonal(model.scaled(2.0).hessian), [13.0, 22.0])
    np.testing.assert_array_equal(model.stiffened(3.0).hessian, 3.0 * model.hessian)


# --- whitening --------------------------------------------------------------------


@pytest.mark.parametrize("q", [1, 5])
def test_whitening_is_a_change_of_coordinates(q):
    H, v = spread(q=q, condition=1e4)
    g = np.linspace(1.0, 2.0, q)
    whitening = Model(H, None, np.zeros(q)).factor.whitening
    x = whitening.to_x(v)
    np.testing.assert_allclose(x @ H @ x, v @ v, rtol=1e-10)
    # Products of gradients and steps do not depend on the coordinates.
    np.testing.assert_allclose(whitening.of_gradient(g) @ v, g @ x, rtol=1e-10)
    np.testing.assert_allclose(whitening.of_last(x[-1]), v[-1], rtol=1e-10)


def test_whitening_of_a_singular_hessian():
    H = np.ones((3, 3))
    H[2] = H[:, 2] = 0.0
    whitening = Model(H, None, np.zeros(3)).factor.whitening
    v = np.array([1.0, -2.0, 3.0])
    x = whitening.to_x(v)
    assert np.isfinite(x).all()
    # What the Hessian does not know is left as it is, and the ridge is small.
    np.testing.assert_allclose(x[2], v[2], rtol=1e-12)
    np.testing.assert_allclose(x @ H @ x, v[0] ** 2, rtol=1e-5)


# --- without a matrix -------------------------------------------------------------


def matrix_free(model):
    """The model by its products, without the penalty's part."""
    outside = np.zeros_like(model.inside) if model.outside is None else model.outside

    def product(v, damping):
        return (1 + damping) * (model.inside @ v) + damping * (outside @ v)

    return MatrixFreeModel(
        product,
        np.diagonal(model.inside),
        np.diagonal(outside),
        model.penalty,
        model.damping,
    )


def problem(q, seed, penalty, weak=False):
    """A dense model of many variables, and a gradient."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(3 * q, q)) * np.geomspace(0.1, 10, q)
    if weak:
        Z[:, q // 2 :] = Z[:, : q - q // 2] + 1e-5 * Z[:, q // 2 :]
    A = Z.T @ Z / (3 * q)
    return Model(A, np.eye(q), np.full(q, penalty)), rng.normal(size=q)


@pytest.mark.parametrize("penalty", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("weak", [False, True])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("damping", [0.0, 0.1])
def test_a_matrix_free_gap_is_an_upper_bound(penalty, weak, seed, damping):
    dense, g = problem(30, seed, penalty, weak)
    dense = dense.damped(damping)
    exact = dense.gap(g, np.zeros(30, dtype=bool))
    lowest = no_bounds(30)
    for tolerance in (1e6 * exact, exact, 1e-3 * exact, 1e-9 * exact):
        step = matrix_free(dense).minimise(g, lowest, tolerance)
        assert step.fall >= exact * (1 - 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_a_matrix_free_minimum(seed):
    dense, g = problem(30, seed, 1e-2)
    exact = dense.minimise(g, no_bounds(30))
    # Within the tolerance the bound is tight, and so is the step.
    found = matrix_free(dense).minimise(g, no_bounds(30), 10 * exact.fall)
    assert exact.fall <= found.fall * (1 + 1e-12)
    size = exact.x @ dense.hessian @ exact.x
    error = found.x - exact.x
    assert error @ dense.hessian @ error <= 1e-2 * size
    # From a gradient as small as those near the end of a fit.
    found = matrix_free(dense).minimise(1e-6 * g, no_bounds(30), exact.fall * 1e-12)
    assert found.fall == pytest.approx(exact.fall * 1e-12, rel=1.0)


@pytest.mark.parametrize("seed", range(4))
def test_a_matrix_free_minimum_within_bounds(seed):
    dense, g = problem(12, seed, 1e-2)
    lowest = np.where(np.arange(12) % 3 == 0, -0.01, -np.inf)
    lowest[3] = 0.0
    exact = dense.minimise(g, lowest)
    found = matrix_free(dense).minimise(g, lowest, 1e-12)
    assert (found.x >= lowest).all()
    assert found.fall >= exact.fall * (1 - 1e-9)
    np.testing.assert_array_equal(found.x == lowest, exact.x == lowest)
    error = found.x - exact.x
    size = exact.x @ dense.hessian @ exact.x
    assert error @ dense.hessian @ error <= 1e-2 * size


def test_a_matrix_free_model_of_nothing_to_gain():
    dense, _ = problem(5, 0, 1.0)
    step = matrix_free(dense).minimise(np.zeros(5), no_bounds(5), 0.0)
    np.testing.assert_array_equal(step.x, 0.0)
    assert step.fall == 0.0

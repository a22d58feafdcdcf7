"""The Gram matrix that follows the inliers from point to point."""

import numpy as np
import pytest
import scipy.sparse as sp

from skhuber._fit.inlier_gram import InlierGram
from skhuber._fit.problem import Problem, Trust
from skhuber._fit.settings import Settings
from skhuber._fit.standardise import frame_of, objective_of
from skhuber._rows import make_rows
from skhuber._solver.solution import Ask
from skhuber._sums import Want

N, P = 120, 6


def problem(layout, rho=1.35, has_weights=True, scale="joint"):
    """Rows, of which the first has no weight, and an objective."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, P)) + np.arange(P)
    y = X @ np.linspace(-1.0, 1.0, P) + rng.standard_t(1, N)
    weight = rng.uniform(0.5, 2.0, N) if has_weights else None
    if has_weights:
        weight[0], X[0] = 0.0, 1e9
    kinds = {"F": np.asfortranarray, "CSR": sp.csr_matrix, "float32": np.float32}
    rows = make_rows(kinds.get(layout, np.asarray)(X), y, weight, 1)
    settings = Settings(rho, scale, 0.0, True, 100, 1e-12)
    frame = frame_of(rows, rows, settings)
    return rows, objective_of(rows, frame, settings)


def followed(rows, objective, gram, theta):
    """Sums of the following matrix, and those of a sweep."""
    residuals = np.empty(rows.n_rows)
    (sums,) = rows.sweep([objective.point(theta)], residuals=residuals)
    found = gram.sums(objective, theta, sums, residuals)
    want = Want(gram=np.float64, squares=True)
    (expected,) = rows.sweep([objective.point(theta)], want)
    return found, expected


@pytest.mark.parametrize("layout", ["C", "F", "CSR", "float32"])
@pytest.mark.parametrize("has_weights", [True, False])
@pytest.mark.parametrize("rho", [1.35, np.inf])
def test_it_is_that_of_a_sweep(layout, has_weights, rho):
    rows, objective = problem(layout, rho, has_weights)
    gram = InlierGram(rows)
    rng = np.random.default_rng(1)
    inliers = set()
    for size in (0.0, 0.1, 0.1, 0.2, 2.0, 0.1):
        theta = objective.theta(size * rng.normal(size=P), 0.1 * size, 0.5 + size)
        found, expected = followed(rows, objective, gram, theta)
        inliers.add(expected.n_inliers)
        largest = np.abs(expected.gram[0]).max()
        np.testing.assert_allclose(
            found.gram[0], expected.gram[0], rtol=1e-10, atol=1e-12 * largest
        )
        np.testing.assert_allclose(
            found.squares, expected.squares, rtol=1e-10, atol=1e-12 * largest
        )
    assert len(inliers) > 2 or np.isinf(rho)


@pytest.mark.parametrize("scale", ["joint", 0.5])
def test_models_are_made_anew_if_a_row_crosses(scale):
    rows, objective = problem("C", scale=scale)
    fit = Problem(objective, rows, Trust(1e-9), gram=InlierGram(rows))
    u = np.linspace(-0.1, 0.1, P)
    places = [objective.theta(size * u, 0.0, 0.5) for size in (1.0, 1.0 + 1e-9, 9.0)]
    first, near, far = (fit.answer(Ask(theta, True)).model for theta in places)
    whole = Problem(objective, rows, Trust(1e-9))
    for theta, model in zip(places, (first, near, far), strict=True):
        expected = whole.answer(Ask(theta, True)).model
        largest = np.abs(expected.hessian).max()
        np.testing.assert_allclose(
            model.hessian, expected.hessian, rtol=1e-10, atol=1e-12 * largest
        )
    assert far is not first
    # With a joint scale the row of the scale depends on the residuals themselves.
    assert (near is first) == (scale != "joint")
    # What has been factorised is kept.
    assert near.damped(0.1) is near.damped(0.1)


def test_products_of_all_rows_are_made_once_if_few_rows_cross():
    rows, objective = problem("C")
    gram = InlierGram(rows)
    for k in range(8):
        theta = objective.theta(np.full(P, 0.01 * k), 0.0, 1.0)
        before = rows.n_sweeps
        followed(rows, objective, gram, theta)
        # (`followed` itself makes two.)
        assert rows.n_sweeps - before == (3 if k == 0 else 2)
    # So many rows cross that the matrix is made anew: all do.
    for scale, n_sweeps in ((1e-3, 2), (1e9, 3)):
        before = rows.n_sweeps
        followed(rows, objective, gram, objective.theta(np.zeros(P), 0.0, scale))
        assert rows.n_sweeps - before == n_sweeps

"""Covariances by their definitions, in NumPy with n × p matrices; no import of skhuber.

Columns are centred and scaled for the sake of digits, nothing else is clever.
"""

import numpy as np
from scipy.special import ndtri

Q = float(ndtri(0.75))


def rows(X):
    """Rows (1, z) of standardised columns, and the map to natural coefficients."""
    mean, spread = X.mean(axis=0), X.std(axis=0)
    A = np.column_stack([np.ones(len(X)), (X - mean) / spread])
    M = np.diag(np.append(1.0, 1.0 / spread))
    M[0, 1:] = -mean / spread
    return A, M


def influences(model, X, y, kind, *, median_in=True):
    """Influences on coefficients (standardised) and scale, n × (p + 2), and J."""
    A, _ = rows(X)
    sigma, rho = model.scale_, model.rho_
    r = y - model.predict(X)
    c = np.clip(r, -rho * sigma, rho * sigma)
    d = np.abs(r) <= rho * sigma
    W = A.T @ (A * d[:, None])
    if kind == "fixed":
        return np.linalg.solve(W, (c[:, None] * A).T).T, W
    if kind == "joint":
        B = np.column_stack([A, r / sigma])
        J = B.T @ (B * d[:, None])
        g = np.column_stack([c[:, None] * A, (c**2 - sigma**2) / (2 * sigma)])
        return np.linalg.solve(J, g.T).T, J
    width = 1.06 * sigma * len(y) ** -0.2
    f = [
        np.exp(-0.5 * ((r - side * Q * sigma) / width) ** 2)
        / (width * np.sqrt(2 * np.pi))
        for side in (1, -1)
    ]
    out = np.where(d, 0.0, np.sign(r))
    J = np.block(
        [
            [W, -rho * (A.T @ out)[:, None]],
            [-(A.T @ (f[0] - f[1])), np.array([[-Q * np.sum(f[0] + f[1])]])],
        ]
    )
    edge = 1e-8 if median_in else -1e-8
    inside = np.abs(r) <= Q * sigma * (1 + edge)
    g = np.column_stack([c[:, None] * A, inside - 0.5])
    return np.linalg.solve(J, g.T).T, J


def sandwich_bse(model, X, y, kind, *, median_in=True):
    """Standard errors of the default."""
    A, M = rows(X)
    delta, _ = influences(model, X, y, kind, median_in=median_in)
    _, W = influences(model, X, y, "fixed")
    d = np.abs(y - model.predict(X)) <= model.rho_ * model.scale_
    h = d * np.einsum("ij,jk,ik->i", A, np.linalg.inv(W), A)
    k = A.shape[1]
    scaled = delta[:, :k] / (1 - h)[:, None]
    V = (len(y) - 1) / len(y) * (scaled.T @ scaled)
    return np.sqrt(np.diag(M @ V @ M.T))

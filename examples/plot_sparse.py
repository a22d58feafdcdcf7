"""
337 dummies as a sparse matrix: the same answer
===============================================

One column for each day makes a matrix that is nearly all zeros. `HuberRegressor` takes
it in CSR format as it is: the columns are centred and scaled on the way through the
solver, so that no zero has to be stored. The answer is that of the dense matrix.

Run it with ``python examples/plot_sparse.py``.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.sparse import csr_array, hstack
from sklearn.linear_model import LinearRegression

from skhuber import HuberRegressor

try:
    here = Path(__file__).parent
except NameError:  # in a gallery, which runs its examples where they lie
    here = Path.cwd()

# %%
# Sparse and dense
# ----------------

table = np.loadtxt(
    here / "data" / "NOxEmissions.csv", delimiter=",", skiprows=1, quotechar='"'
)
day, concentration, emission, wind = table.T
days, day_index = np.unique(day, return_inverse=True)
n = len(day)
dummies = csr_array((np.ones(n), (np.arange(n), day_index)), shape=(n, len(days)))
X = hstack([csr_array(np.column_stack([emission, wind])), dummies[:, 1:]], format="csr")
X_dense = X.toarray()

stored = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
print(f"{X.shape[0]} rows, {X.shape[1]} columns, {X.nnz / X_dense.size:.1%} not zero")
print(f"sparse {stored / 1e6:6.2f} MB")
print(f"dense  {X_dense.nbytes / 1e6:6.2f} MB")

# %%
# Two fits
# --------
# How long each takes is in the benchmarks (NOx, with and without CSR).

sparse_fit = HuberRegressor(alpha=0).fit(X, concentration)
dense_fit = HuberRegressor(alpha=0).fit(X_dense, concentration)

apart = np.abs(sparse_fit.coef_ - dense_fit.coef_).max()
print(f"log emission       {sparse_fit.coef_[0]:8.4f}{dense_fit.coef_[0]:9.4f}")
print(f"root of wind speed {sparse_fit.coef_[1]:8.4f}{dense_fit.coef_[1]:9.4f}")
print(f"scale              {sparse_fit.scale_:8.4f}{dense_fit.scale_:9.4f}")
print(f"no coefficient differs by more than 1e-9: {apart < 1e-9}")
print(f"the same outliers: {np.array_equal(sparse_fit.outliers_, dense_fit.outliers_)}")

# %%
# What the days add
# -----------------
# A dummy's coefficient is what its day adds to the log concentration, whatever the
# traffic and the wind: the weather, mostly. A few bad hours can move the effect of a
# day, of which there are 24 hours at most. The largest differences from least squares:

squares = LinearRegression().fit(X_dense, concentration)
effect = np.append(0.0, sparse_fit.coef_[2:])
effect_squares = np.append(0.0, squares.coef_[2:])
effect -= effect.mean()
effect_squares -= effect_squares.mean()
most = np.argsort(-np.abs(effect - effect_squares))[:4]
print(f"{'day':>5s}{'Huber':>8s}{'least squares':>15s}")
for k in most:
    print(f"{days[k]:5.0f}{effect[k]:8.2f}{effect_squares[k]:15.2f}")

# %%
# A picture
# ---------

figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 4.2), width_ratios=[2, 1], layout="constrained"
)
left.plot(days, effect, ".", color="tab:blue", ms=4)
left.axhline(0, color="0.5", linewidth=0.8)
left.set_xlabel("number of the day")
left.set_ylabel("effect of the day (log ppb)")
left.set_title("338 days, from the sparse fit")
right.plot(effect_squares, effect, ".", color="tab:blue", ms=4)
right.axline((0, 0), slope=1, color="0.5", linewidth=0.8)
for k in most:
    above = effect[k] > effect_squares[k]
    right.annotate(
        f"day {days[k]:.0f}",
        (effect_squares[k], effect[k]),
        xytext=(-6, 0) if above else (6, 0),
        textcoords="offset points",
        ha="right" if above else "left",
        va="center",
        fontsize=8,
    )
right.set_aspect("equal")
right.set_xlabel("effect, least squares (log ppb)")
right.set_ylabel("effect, Huber (log ppb)")
right.set_title("Days that outliers moved")
figure.savefig(here / "sparse.png", dpi=80)
print("Picture: sparse.png, beside this file")
plt.show()

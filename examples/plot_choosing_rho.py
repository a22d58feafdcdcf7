"""
Choosing rho: a path, cross-validation, and rules
=================================================

How much does the answer depend on the threshold, and which one is best? On 8,088
hourly measurements of nitrogen oxides beside a motorway, with one dummy for each day:
first a path of fits, then three ways to choose. Each way has another idea of what is
best, and they need not agree. Here the coefficients that they lead to do, to five per
cent.

Run it with ``python examples/plot_choosing_rho.py``.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.sparse import csr_array, hstack
from sklearn.model_selection import KFold

from skhuber import HuberRegressor, HuberRegressorCV, OutlierShare, huber_path
from skhuber.inspection import CVRhoDisplay, HuberPathDisplay

try:
    here = Path(__file__).parent
except NameError:  # in a gallery, which runs its examples where they lie
    here = Path.cwd()

# %%
# The data
# --------

table = np.loadtxt(
    here / "data" / "NOxEmissions.csv", delimiter=",", skiprows=1, quotechar='"'
)
day, concentration, emission, wind = table.T
days, day_index = np.unique(day, return_inverse=True)
n = len(day)
dummies = csr_array((np.ones(n), (np.arange(n), day_index)), shape=(n, len(days)))
X = hstack([csr_array(np.column_stack([emission, wind])), dummies[:, 1:]], format="csr")

# %%
# A path
# ------
# Eleven values of rho, from 1.1 to 10, are the default. From 4 on next to nothing is an
# outlier, and the fit is least squares.

path = huber_path(X, concentration)

print(f"{'rho':>6s}{'emission':>10s}{'wind':>8s}{'scale':>8s}{'outliers':>10s}")
for k, rho in enumerate(path.rhos):
    emission_coef, wind_coef = path.coefs[k, 0, :2]
    print(
        f"{rho:6.2f}{emission_coef:10.4f}{wind_coef:8.4f}"
        f"{path.scales[k, 0]:8.4f}{path.outlier_shares[k, 0]:10.1%}"
    )

# %%
# Three ways to choose
# --------------------
# - `HuberRegressorCV` measures all candidates with one yardstick, out of sample.
# - ``rho="auto"`` takes the least estimated error of the coefficients, without folds.
# - An `OutlierShare` is for those who know how many measurements are bad.

search = HuberRegressorCV(cv=KFold(5, shuffle=True, random_state=0))
search.fit(X, concentration)
auto = HuberRegressor("auto").fit(X, concentration)
share = HuberRegressor(OutlierShare(0.05)).fit(X, concentration)

print(f"{'':20s}{'rho':>6s}{'outliers':>10s}{'emission':>10s}{'wind':>8s}")
for name, model in [
    ("cross-validation", search),
    ('rho="auto"', auto),
    ("OutlierShare(0.05)", share),
]:
    print(
        f"{name:20s}{model.rho_:6.2f}{model.outliers_.mean():10.1%}"
        f"{model.coef_[0]:10.4f}{model.coef_[1]:8.4f}"
    )

# %%
# How sure is the best score? The standard error of a mean score is no answer: a fold
# with bad hours is a bad one for all candidates. Differences within folds are.

scores = np.array([search.cv_results_[f"split{k}_test_score"] for k in range(5)])
less = scores[:, [search.best_index_]] - scores
print(f"{'rho':>6s}{'score below the best':>22s}")
for rho, loss in zip(search.cv_results_["param_rho"], less.T, strict=True):
    error = loss.std(ddof=1) / np.sqrt(len(loss))
    print(f"{rho:6.2f}{loss.mean():13.5f} ± {error:.5f}")

# %%
# A picture
# ---------
# `HuberPathDisplay.from_path` would draw all 339 coefficients; the display itself takes
# the two that matter, here as multiples of those of the largest rho.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(10.5, 4.8), width_ratios=[6, 5], layout="constrained"
)
display = HuberPathDisplay(
    rhos=path.rhos,
    coefs=path.coefs[:, 0, :2] / path.coefs[-1, 0, :2],
    scales=path.scales[:, 0],
    outlier_shares=path.outlier_shares[:, 0],
    feature_names=["log emission", "root of wind"],
    rho=search.rho_,
).plot(left)
display.axes_[0].set(ylim=(0.92, 1.01), ylabel="coefficient\n(of that at 10)")
display.axes_[1].set_ylabel("scale\n(log ppb)")
CVRhoDisplay.from_estimator(search, std=None, ax=right)
right.set_ylabel("minus the mean Huber error (squared log ppb)")
figure.savefig(here / "choosing_rho.png", dpi=80)
print("Picture: choosing_rho.png, beside this file")
plt.show()

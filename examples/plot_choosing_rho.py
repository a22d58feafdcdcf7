"""
Choosing rho: a path, cross-validation, and rules
=================================================

How much does the answer depend on the threshold, and which one is best? On 8,088
hourly measurements of nitrogen oxides beside a motorway, with one dummy for each day:
first a path of fits, then three ways to choose. Each way has another idea of what is
best, so they need not agree; here the coefficients that they lead to do, to two per
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
# The fits of a grid share what they can.

rhos = np.geomspace(1.1, 10, 25)
path = huber_path(X, concentration, rhos=rhos)

print(f"{'rho':>6s}{'emission':>10s}{'wind':>8s}{'scale':>8s}{'outliers':>10s}")
for k in range(0, len(rhos), 4):
    emission_coef, wind_coef = path.coefs[k, 0, :2]
    print(
        f"{rhos[k]:6.2f}{emission_coef:10.4f}{wind_coef:8.4f}"
        f"{path.scales[k, 0]:8.4f}{path.outlier_shares[k, 0]:10.1%}"
    )

# %%
# Three ways to choose
# --------------------
# - `HuberRegressorCV` measures all candidates with one yardstick, out of sample.
# - ``rho="auto"`` takes the least estimated error of the coefficients, without folds.
# - An `OutlierShare` is for those who know how many measurements are bad.

search = HuberRegressorCV(rhos, cv=KFold(5, shuffle=True, random_state=0))
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
# A picture
# ---------
# `HuberPathDisplay.from_path` would draw all 339 coefficients. The display itself takes
# the two that matter. The scores are flat from 1.35 to 2.5, within a tenth of their
# standard errors: any rho of these will do.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
display = HuberPathDisplay(
    rhos=path.rhos,
    coefs=path.coefs[:, 0, :2],
    scales=path.scales[:, 0],
    outlier_shares=path.outlier_shares[:, 0],
    feature_names=["log emission", "root of wind"],
    rho=search.rho_,
).plot(left)
display.axes_[0].set_ylabel("coefficient")
display.axes_[1].set_ylabel("scale\n(log ppb)")
CVRhoDisplay.from_estimator(search, ax=right)
right.set_ylabel("minus the mean Huber error (squared log ppb)")
figure.savefig(here / "choosing_rho.png", dpi=80)
print("Picture: choosing_rho.png, beside this file")
plt.show()

"""
Telephone calls in Belgium: six years in another unit
=====================================================

International calls from Belgium, 1950 to 1973. From 1964 to 1969 (and for a part of
1963 and 1970) not the number of calls was written down, but the minutes that they
took. These are outliers in *y*, a quarter of all years, and all on one side. This is
what a Huber fit is made for, and at the limit of what it can do.

The scale here is the median absolute residual, ``scale="mad"``, as in R's ``rlm``
(package MASS), whose numbers are reproduced. Two displays show which years count how
much.

Run it with ``python examples/plot_telephone.py``.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.linear_model import LinearRegression

from skhuber import HuberRegressor
from skhuber.inspection import HuberResidualsDisplay, HuberWeightsDisplay

try:
    here = Path(__file__).parent
except NameError:  # in a gallery, which runs its examples where they lie
    here = Path.cwd()

# %%
# The numbers of R
# ----------------
# R writes the upper quartile of the normal distribution as 0.6745, four digits of
# 0.67448975. The threshold is the same if rho makes up for it; then so is the fit.

table = np.loadtxt(here / "data" / "telef.csv", delimiter=",", skiprows=1)
X, calls = table[:, :1], table[:, 1]
year = 1900 + X[:, 0].astype(int)

r_coef, r_intercept = 0.203960046572185, -10.2529638118161  # rlm(calls ~ year)
rounding = norm.ppf(0.75) / 0.6745
as_in_r = HuberRegressor(rho=1.345 * rounding, scale="mad", alpha=0).fit(X, calls)
print(f"{'':10s}{'slope':>15s}{'intercept':>17s}")
print(f"{'R':10s}{r_coef:15.10f}{r_intercept:17.10f}")
print(f"{'skhuber':10s}{as_in_r.coef_[0]:15.10f}{as_in_r.intercept_:17.10f}")

# %%
# Better, and not good
# --------------------
# In the years that were counted rightly, calls rose by 1.1 million a year. Least
# squares says almost five times as much, the Huber fit almost twice as much: each of
# the outliers still pulls with the force of a residual at the threshold, and all pull
# the same way.

robust = HuberRegressor(rho=1.345, scale="mad", alpha=0).fit(X, calls)
squares = LinearRegression().fit(X, calls)
right = (year < 1963) | (year > 1970)
clean = LinearRegression().fit(X[right], calls[right])

print("Slope, in millions of calls a year")
print(f"{'least squares':36s}{10 * squares.coef_[0]:6.2f}")
print(f"{'Huber':36s}{10 * robust.coef_[0]:6.2f}")
print(f"{'least squares without 1963 to 1970':36s}{10 * clean.coef_[0]:6.2f}")

# %%
# The robust weights say where to look. The six wrong years stand apart; three of the
# last four are beyond the threshold only because the line is still too steep.

print("Year   weight")
for i in np.flatnonzero(robust.outliers_):
    print(f"{year[i]}{robust.robust_weights_[i]:9.2f}")

# %%
# Two displays
# ------------
# Residuals with the band within which years count fully, and the sorted weights, with
# those of the joint scale beside them: it is smaller here, and the same nine years have
# less weight.

joint = HuberRegressor(rho=1.345, alpha=0).fit(X, calls)

figure = plt.figure(figsize=(9, 6.4), layout="constrained")
axes = figure.subplot_mosaic([["lines", "residuals"], ["lines", "weights"]])
lines, residuals, weights = axes["lines"], axes["residuals"], axes["weights"]
lines.plot(year, calls, "o", color="tab:gray", label="as written down")
for model, style, label in [
    (squares, "k--", "least squares"),
    (robust, "tab:blue", "Huber"),
    (clean, "tab:green", "without 1963 to 1970"),
]:
    lines.plot(year, model.predict(X), style, label=label)
lines.set_xlabel("year")
lines.set_ylabel("calls (tens of millions)")
lines.set_title("Three lines")
lines.legend(loc="upper left")

display = HuberResidualsDisplay(
    y_pred=robust.predict(X),
    residuals=calls - robust.predict(X),
    threshold=robust.rho_ * robust.scale_,
    labels=year,
)
display.plot(residuals, n_labels=6)
residuals.set_xlabel("fitted calls (tens of millions)")
residuals.set_ylabel("residual (tens of millions)")
residuals.set_title("HuberResidualsDisplay")

HuberWeightsDisplay.from_estimator(robust, name="MAD scale", ax=weights)
HuberWeightsDisplay.from_estimator(joint, name="joint scale", ax=weights)
weights.set_xlabel("rank of the year, from the least weight")
weights.set_title("HuberWeightsDisplay")
figure.savefig(here / "telephone.png", dpi=72)
print("Picture: telephone.png, beside this file")
plt.show()

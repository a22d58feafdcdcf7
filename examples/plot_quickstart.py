"""
Hours that the traffic does not explain
=======================================

Beside a motorway, 8,088 hourly measurements of nitrogen oxides in the air: how much of
them comes from the cars? The logarithm of the concentration is regressed on the
logarithm of the cars' emission, the square root of the wind speed, and one dummy for
each day (its weather). On some hours something else is in the air. A robust fit leaves
them aside, and says which they are; least squares lets them move the answer.

Run it with ``python examples/plot_quickstart.py``. It prints what was found and saves
a picture beside this file.
"""

import csv
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
# The data
# --------
# Columns: number of the day, log concentration, log emission, root of the wind speed.
# The 337 day dummies make 339 columns that are nearly all zeros, so X is sparse.

with open(here / "data" / "NOxEmissions.csv", newline="") as file:
    table = np.array(list(csv.reader(file))[1:], dtype=float)
day, concentration, emission, wind = table.T

days, day_index = np.unique(day, return_inverse=True)
n = len(day)
dummies = csr_array((np.ones(n), (np.arange(n), day_index)), shape=(n, len(days)))
X = hstack([csr_array(np.column_stack([emission, wind])), dummies[:, 1:]], format="csr")

# %%
# Two fits
# --------
# ``scale="mad"`` and ``alpha=0``: what R's ``rlm`` and statsmodels' ``RLM`` compute.

robust = HuberRegressor(rho=1.345, scale="mad", alpha=0).fit(X, concentration)
least_squares = LinearRegression().fit(X, concentration)

print(f"{n} hours on {len(days)} days, {X.shape[1]} columns\n")
print(f"{'':26s}{'robust':>10s}{'least squares':>16s}")
for j, name in enumerate(["log emission", "root of wind speed"]):
    print(f"{name:26s}{robust.coef_[j]:10.4f}{least_squares.coef_[j]:16.4f}")
spread = np.std(concentration - least_squares.predict(X))
print(f"{'scale of the residuals':26s}{robust.scale_:10.4f}{spread:16.4f}")
print(f"\n{robust.n_iter_} iterations, optimality gap {robust.optimality_gap_:.0e}")

# %%
# The hours that stand apart
# --------------------------
# `outliers_` marks every residual beyond 1.345 scales: of normal noise that is one in
# six, which lose little of their weight. A robust weight below 0.3 means more than
# 4.5 scales.

residual = concentration - robust.predict(X)
apart = robust.robust_weights_ < 0.3
print(
    f"\n{robust.outliers_.sum()} hours beyond the threshold, {apart.sum()} far beyond."
)
print("The farthest:\n")
print(f"{'day':>5s}{'measured':>10s}{'expected':>10s}{'weight':>8s}   (log ppb)")
for i in np.argsort(robust.robust_weights_)[:8]:
    print(
        f"{day[i]:5.0f}{concentration[i]:10.2f}{concentration[i] - residual[i]:10.2f}"
        f"{robust.robust_weights_[i]:8.2f}"
    )

# %%
# A picture
# ---------

figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
points = axes.scatter(
    robust.predict(X), residual, c=robust.robust_weights_, s=6, cmap="viridis", vmin=0
)
limit = robust.rho_ * robust.scale_
axes.axhspan(-limit, limit, color="tab:gray", alpha=0.15, label="within the threshold")
axes.scatter(
    robust.predict(X)[apart],
    residual[apart],
    s=40,
    facecolors="none",
    edgecolors="tab:red",
    label="weight below 0.3",
)
axes.set_xlabel("fitted log concentration of NOx (ppb)")
axes.set_ylabel("residual")
axes.set_title("Hourly NOx beside a motorway: what traffic, wind and day leave over")
axes.legend(loc="upper right")
figure.colorbar(points, label="robust weight")
figure.savefig(here / "quickstart.png", dpi=120)
print("\nPicture: quickstart.png, beside this file")
plt.show()

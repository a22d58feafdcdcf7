"""
Which days stand apart: ammonia lost in a plant
===============================================

21 days of a plant that oxidises ammonia: the share that is lost, from the flow of
cooling air, the temperature of the cooling water and the concentration of the acid.
Robust methods have been tried on these data for fifty years; most of them agree that
days 1, 3, 4 and 21 do not follow the others.

What a fit says of single rows:

- ``outliers_``: the residual is beyond ``rho_ * scale_``. That is a threshold of the
  loss and no verdict: with rho = 1.345 and normal noise it is one row in six.
- ``robust_weights_``: 1 up to there, threshold/residual beyond. A weight of 0.4 is a
  residual of 2.5 thresholds.
- ``residual / scale_``: the same in units of the scale, with its sign.

Run it with ``python examples/plot_stackloss.py``.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LinearRegression

from skhuber import HuberRegressor

try:
    here = Path(__file__).parent
except NameError:  # in a gallery, which runs its examples where they lie
    here = Path.cwd()

# %%
# One fit with each scale
# -----------------------

table = np.loadtxt(
    here / "data" / "stackloss.csv", delimiter=",", skiprows=1, quotechar='"'
)
X, loss = table[:, :-1], table[:, -1] / 10  # in per cent of the ammonia
day = np.arange(1, len(loss) + 1)

mad = HuberRegressor(rho=1.345, scale="mad", alpha=0).fit(X, loss)
joint = HuberRegressor(rho=1.345, alpha=0).fit(X, loss)
squares = LinearRegression().fit(X, loss)
squares_scale = np.sqrt(np.sum((loss - squares.predict(X)) ** 2) / (len(loss) - 4))

print(f"{'':24s}{'least squares':>14s}{'MAD scale':>11s}{'joint scale':>13s}")
for j, name in enumerate(["air flow", "water temperature", "acid concentration"]):
    print(
        f"{name:24s}{squares.coef_[j]:14.4f}{mad.coef_[j]:11.4f}{joint.coef_[j]:13.4f}"
    )
print(f"{'scale (per cent)':24s}{squares_scale:14.3f}{mad.scale_:11.3f}", end="")
print(f"{joint.scale_:13.3f}")

# %%
# The days beyond the threshold
# -----------------------------
# The joint scale is half as large as the MAD here, so the same rho marks more days.
# Day 21 has the least weight with either.

for name, model in [("MAD scale", mad), ("joint scale", joint)]:
    print(f"{name}:")
    for i in np.flatnonzero(model.outliers_):
        print(f"  day {day[i]:2d}, weight {model.robust_weights_[i]:.2f}")

# %%
# Standardised residuals, by day
# ------------------------------
# Least squares hides what it was pulled by: only day 21 is beyond two standard
# deviations of its residuals, and just.

figure, axes = plt.subplots(
    3, 1, figsize=(7, 6.6), sharex=True, sharey=True, layout="constrained"
)
for ax, model, scale, title in [
    (axes[0], squares, squares_scale, "Least squares"),
    (axes[1], mad, mad.scale_, "Huber, MAD scale"),
    (axes[2], joint, joint.scale_, "Huber, joint scale"),
]:
    z = (loss - model.predict(X)) / scale
    weight = getattr(model, "robust_weights_", np.ones(len(z)))
    ax.axhline(0, color="0.35", linewidth=0.8)
    ax.vlines(day, 0, z, color="0.6", linewidth=0.8)
    points = ax.scatter(
        day, z, c=weight, cmap="viridis", vmin=0, vmax=1, s=40, edgecolor="0.3"
    )
    if model is not squares:
        ax.axhspan(-model.rho_, model.rho_, color="tab:gray", alpha=0.15, linewidth=0)
        for i in np.flatnonzero(weight < 0.6):
            side = np.sign(z[i])
            ax.annotate(
                f"{day[i]}",
                (day[i], z[i]),
                xytext=(7, 2 * side),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
    ax.set_ylabel("residual / scale")
    ax.set_title(title, loc="left", fontsize=10)
axes[2].set(xlabel="day", xlim=(0, 22.5), ylim=(-8.5, 7.5))
axes[2].set_xticks(day[::2])
figure.colorbar(points, ax=axes, label="robust weight", aspect=40)
figure.savefig(here / "stackloss.png", dpi=90)
print("Picture: stackloss.png, beside this file")
plt.show()

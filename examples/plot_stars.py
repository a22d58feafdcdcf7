"""
Where a Huber fit does not help: stars in a cluster
===================================================

47 stars of the cluster CYG OB1: the logarithm of the light intensity against the
logarithm of the surface temperature. Most of them lie along the main sequence, where
hotter stars are brighter. Four giants are cool and bright. They are outliers in *x*
(leverage points), and both least squares and a Huber fit follow them: the slope comes
out negative. A Huber loss limits what a large *residual* can do, and theirs are none of
the largest, since the line goes where they are.

Run it with ``python examples/plot_stars.py``.
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
# Both fits are fooled
# --------------------

table = np.loadtxt(here / "data" / "starsCYG.csv", delimiter=",", skiprows=1)
temperature, intensity = table.T
X = temperature[:, np.newaxis]

least_squares = LinearRegression().fit(X, intensity)
robust = HuberRegressor(alpha=0).fit(X, intensity)
with_mad = HuberRegressor(rho=1.345, scale="mad", alpha=0).fit(X, intensity)

print(f"{'':30s}{'slope':>8s}")
print(f"{'least squares':30s}{least_squares.coef_[0]:8.2f}")
print(f"{'Huber, joint scale':30s}{robust.coef_[0]:8.2f}")
print(f"{'Huber, MAD scale':30s}{with_mad.coef_[0]:8.2f}")

# %%
# The weights do not tell
# -----------------------
# Two of the four giants have a robust weight of 1, and none has as little as the
# farthest of the main-sequence stars. What does tell is the leverage: the diagonal of
# the hat matrix, which looks at X alone. Its mean is (number of coefficients)/n.

centred = temperature - temperature.mean()
leverage = 1 / len(X) + centred**2 / np.sum(centred**2)
giants = temperature < 3.6

print(f"{'star':>6s}{'leverage':>10s}{'robust weight':>15s}")
for i in np.flatnonzero(giants):
    print(f"{i:6d}{leverage[i]:10.2f}{robust.robust_weights_[i]:15.2f}")
print(f"mean leverage {leverage.mean():.2f}")
print(f"main-sequence stars beyond the threshold: {robust.outliers_[~giants].sum()}")

# %%
# What to do
# ----------
# The giants are stars of another kind, and no line describes both kinds. To leave
# them out is a decision about the question asked, which no loss function takes: by
# the temperature (as here), or by a model that knows giants. Without them both fits
# have a positive slope.

main = ~giants
main_robust = HuberRegressor(alpha=0).fit(X[main], intensity[main])
main_squares = LinearRegression().fit(X[main], intensity[main])
print(f"{'without the giants':30s}{'slope':>8s}")
print(f"{'least squares':30s}{main_squares.coef_[0]:8.2f}")
print(f"{'Huber, joint scale':30s}{main_robust.coef_[0]:8.2f}")

# %%
# A picture
# ---------

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 4.2), width_ratios=[3, 2], layout="constrained"
)
left.plot(temperature[main], intensity[main], "o", color="tab:gray", ms=4)
left.plot(temperature[giants], intensity[giants], "o", color="tab:red", ms=6)
ends = np.array([3.4, 4.7])
for model, style, label in [
    (least_squares, "k--", "least squares"),
    (robust, "tab:blue", "Huber"),
]:
    left.plot(ends, model.predict(ends[:, np.newaxis]), style, label=label)
shorter = np.array([3.8, 4.7])
left.plot(
    shorter,
    main_robust.predict(shorter[:, np.newaxis]),
    color="tab:green",
    label="Huber without the giants",
)
left.annotate("four giants", (3.53, 5.9), color="tab:red", va="center")
left.set_ylim(3.5, 7.0)
left.set_xlabel("surface temperature (log, base 10, of kelvin)")
left.set_ylabel("light intensity (log, base 10)")
left.set_title("Both lines follow the giants")
left.legend(loc="upper right")

right.plot(leverage[main], robust.robust_weights_[main], "o", color="tab:gray", ms=4)
right.plot(leverage[giants], robust.robust_weights_[giants], "o", color="tab:red")
right.axvline(leverage.mean(), color="tab:gray", linestyle=":")
right.text(leverage.mean() + 0.005, 0.06, "mean leverage", color="0.35")
right.set_ylim(0, 1.05)
right.set_xlabel("leverage")
right.set_ylabel("robust weight")
right.set_title("Leverage tells, weights do not")
figure.savefig(here / "stars.png", dpi=90)
print("Picture: stars.png, beside this file")
plt.show()

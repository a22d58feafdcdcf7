"""
A curve that is not linear, with a Huber loss
=============================================

`HuberRegressor` fits models that are linear in their coefficients. Others need an
optimiser, and that needs a loss with a gradient: `skhuber.losses` has them. Here an
exponential curve is fitted to the telephone calls from Belgium, 1950 to 1973, of
which six years (1964 to 1969) were written down in another unit.

Run it with ``python examples/plot_curve.py``.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

from skhuber.losses import HuberLoss, L2Loss

try:
    here = Path(__file__).parent
except NameError:  # in a gallery, which runs its examples where they lie
    here = Path.cwd()

table = np.loadtxt(here / "data" / "telef.csv", delimiter=",", skiprows=1)
year, calls = 1900 + table[:, 0], table[:, 1]

# %%
# The curve and the chain rule
# ----------------------------
# calls = a·exp(g·(year − 1950)), with a = exp(log_a) so that it stays positive. The
# loss gives its derivative by the predictions; the curve gives theirs by the
# parameters.

t = year - 1950


def curve(parameters):
    log_a, growth = parameters
    return np.exp(log_a + growth * t)


def objective(parameters, loss):
    predicted = curve(parameters)
    value, slope = loss.value_and_gradient(predicted, calls)
    return value, np.array([slope @ predicted, slope @ (predicted * t)])


def fit(loss):
    start = [np.log(calls[0]), 0.1]
    return minimize(objective, start, args=(loss,), jac=True, method="BFGS").x


# %%
# Two losses
# ----------
# The knee of the Huber loss is in the unit of the calls: 0.1 is a million of them. No
# scale is estimated along with the curve. Since the objective is not convex, another
# start could lead to another minimum; those that were tried here do not.

huber = HuberLoss(0.1, form="unit_curvature", reduction="sum")
fits = {
    "least squares": fit(L2Loss(reduction="sum")),
    "Huber": fit(huber),
}
for start in [(-1.0, 0.2), (1.0, 0.05), (-3.0, 0.2)]:
    again = minimize(objective, start, args=(huber,), jac=True, method="BFGS").x
    assert np.allclose(again, fits["Huber"], atol=1e-5)

early = year < 1963
growth_early = np.polyfit(t[early], np.log(calls[early]), 1)[0]
print("Growth of the number of calls in a year")
for name, parameters in fits.items():
    print(f"{name:38s}{np.expm1(parameters[1]):7.1%}")
print(f"{'1950 to 1962 alone, log-linear':38s}{np.expm1(growth_early):7.1%}")

# %%
# The Huber curve nearly has the growth of the years before the mistake. The last three
# years lie far below it, and lose their weight like the six wrong ones: growth had
# slowed, and an exponential curve cannot tell. No loss makes up for a wrong curve.
#
# Weights as in `robust_weights_` are the gradient over the residual.

residual = curve(fits["Huber"]) - calls
slope = huber.gradient(curve(fits["Huber"]), calls)
weight = slope / residual
print("Year   calls   curve  weight")
for i in np.flatnonzero(weight < 0.2):
    fitted = calls[i] + residual[i]
    print(f"{year[i]:.0f}{calls[i]:8.2f}{fitted:8.2f}{weight[i]:8.2f}")

# %%
# A picture
# ---------

figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
axes.plot(year, calls, "o", color="tab:gray", label="as written down")
for (name, parameters), style in zip(fits.items(), ["k--", "tab:blue"], strict=True):
    axes.plot(year, curve(parameters), style, label=name)
axes.set_yscale("log")
axes.set_yticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
axes.minorticks_off()
axes.set_xlabel("year")
axes.set_ylabel("calls (tens of millions)")
axes.set_title("International telephone calls from Belgium")
axes.legend(loc="upper left")
figure.savefig(here / "curve.png", dpi=90)
print("Picture: curve.png, beside this file")
plt.show()

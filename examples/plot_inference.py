"""
A report: what wind and traffic do to the air, and how sure that is
===================================================================

8,088 hourly measurements beside a motorway: nitrogen oxides in the air, what the cars
emitted, and the wind. How much of a change in emissions arrives in the air? The answer
is a coefficient, and a coefficient without an interval is a rumour.

This page goes the way of a report: the model, which standard errors and why, the table,
a test, which rows weigh how much, and what a single new hour may bring.

Run it with ``python examples/plot_inference.py``.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from formulaic import model_matrix

from skhuber import HuberRegressor
from skhuber.inference import huber_inference, score_test
from skhuber.inspection import CoefficientIntervalDisplay, LeverageDisplay

try:
    here = Path(__file__).parent
except NameError:  # in a gallery, which runs its examples where they lie
    here = Path.cwd()

# %%
# The model
# ---------
# All in logarithms but the wind, of which the data have the square root. A formula
# makes the columns; the intercept is the estimator's. How much emissions matter may
# depend on the wind, so there is a product. No penalty: it would bias the coefficients,
# and intervals would be about what is biased.

table = pd.read_csv(here / "data" / "NOxEmissions.csv")
table = table.rename(columns={"LNOx": "nox", "LNOxEm": "emission", "sqrtWS": "wind"})
target, X = model_matrix("nox ~ 0 + emission * wind", table)
X = pd.DataFrame(X)
nox = target["nox"].to_numpy()
day = table["julday"].to_numpy()

model = HuberRegressor(rho=1.345, scale="mad", alpha=0).fit(X, nox)
print(f"{model.outliers_.mean():.0%} of the hours lie beyond the threshold")

# %%
# Which standard errors
# ---------------------
# The classical ones, H1, need noise that is the same for all hours and independent
# from hour to hour. The default allows noise that depends on the columns. Neither
# allows hours that depend on each other, and those of a day do: what the weather was
# like beside the wind, no column says. Whole days are independent, or nearly so; their
# covariance is that of clusters.

results = {
    "H1": huber_inference(model, X, nox, cov_type="H1"),
    "sandwich": huber_inference(model, X, nox),
    "cluster": huber_inference(model, X, nox, cov_type="cluster", groups=day),
}
errors = pd.DataFrame({name: result.bse for name, result in results.items()})
print(errors.round(4).to_string())

# %%
# Hours of a day are not independent: the errors that allow for it are twice those of
# H1.

ratio = (errors["cluster"] / errors["H1"]).drop("const")
print(f"cluster errors are {ratio.min():.1f} to {ratio.max():.1f} times those of H1")

# %%
# The table
# ---------

report = results["cluster"]
print(report.summary())

# %%
# As a frame it can be styled, by pandas itself or by great-tables.

frame = report.summary_frame()
print(frame[["coef", "lower", "upper"]].round(3).to_string())

figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharex=True, layout="constrained")
for name, place in (("H1", axes[0]), ("cluster", axes[1])):
    CoefficientIntervalDisplay.from_result(results[name], ax=place)
    place.set_title(f"{name}", loc="left", fontsize=10)

# %%
# How much arrives
# ----------------
# The effect of emissions depends on the wind. At the quartiles of the wind, with
# intervals: linear forms of the coefficients.

names = list(report.names)
for quantile in (0.25, 0.5, 0.75):
    wind = table["wind"].quantile(quantile)
    form = np.zeros(len(names))
    form[names.index("emission")] = 1.0
    form[names.index("emission:wind")] = wind
    effect = report.t_test(form)
    lower, upper = effect.conf_int()[0]
    print(
        f"wind {wind**2:4.1f} m/s: {effect.effect[0]:.2f} "
        f"(95 % interval {lower:.2f} to {upper:.2f})"
    )

# %%
# Does the product matter?
# ------------------------
# The Wald test of the clusters and the score test. The score test fits the model
# without the product, and is right for noise that depends on the columns; but it takes
# hours for independent, and so for more than they are.

print(report.wald_test("emission:wind"))
print(score_test(model, X, nox, drop=["emission:wind"]))

# %%
# Which hours weigh most
# ----------------------
# Robust distances in the columns, against residuals from a fit to the hours within the
# cut-off. Rows at the right lie far out; at the right *and* outside the band they do
# not follow the others. The product column is left out, it is no dimension of its own.
# A third of the hours is far: the half that lies closest together is taken
# for the rule, and hours of little traffic are another cloud.

leverage = results["sandwich"].leverage_report(X, nox, columns=["emission", "wind"])
print(leverage)
display = LeverageDisplay.from_report(
    leverage, labels=[f"day {d}" for d in day], n_labels=6, scatter_kwargs={"s": 5}
)
display.figure_.savefig(here / "inference.png", dpi=90)

# %%
# Do they matter? A fit without the hours of bad leverage says how much: the wind's
# coefficients move by two standard errors. They stay in, since nothing is wrong with
# them but that the line fits them badly; a report should say so.

kept = leverage.kind != "bad leverage"
without = HuberRegressor(rho=1.345, scale="mad", alpha=0).fit(X[kept], nox[kept])
moved = (without.coef_ - model.coef_) / errors["cluster"].drop("const").to_numpy()
print(f"without {np.sum(~kept)} hours coefficients move by")
for name, change in zip(X.columns, moved, strict=True):
    print(f"  {name:14s} {change:+.2f} of their standard errors")

# %%
# A new hour
# ----------
# The line is known well, an hour is not: its interval is made of the residuals that
# each hour would have if it had been left out.

hour = X.iloc[[4000]]
line = report.predict(hour, "confidence")
new = report.predict(hour, "prediction")
print(f"predicted {line.prediction[0]:.2f}")
print(f"line between {line.lower[0]:.2f} and {line.upper[0]:.2f}")
print(f"hour between {new.lower[0]:.2f} and {new.upper[0]:.2f}")
print("Picture: inference.png, beside this file")
plt.show()

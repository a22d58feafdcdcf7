"""
Choosing the threshold by cross-validation
==========================================

How robust should a fit be? `GridSearchCV` can tell, if all candidates are measured with
the same yardstick. The error of a candidate must not be computed with that
candidate's own threshold: the smaller rho, the smaller the Huber error of the very same
residuals, and the smallest rho would always win. `make_huber_scorer` makes a scorer
whose threshold stays where it is.

Run it with ``python examples/plot_grid_search.py``.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from skhuber import HuberRegressor, make_huber_scorer

try:
    here = Path(__file__).parent
except NameError:  # in a gallery, which runs its examples where they lie
    here = Path.cwd()

# %%
# The data: a smooth curve, noise with heavy tails (Student's t with 2 degrees of
# freedom), and one reading in ten far too high.

rng = np.random.default_rng(0)
n = 600
x = rng.uniform(-3, 3, n)
curve = 10 * np.sin(x) + x**2
y = curve + rng.standard_t(2, n)
wrong = rng.random(n) < 0.1
y[wrong] += rng.exponential(40, wrong.sum())
X = x[:, np.newaxis]

# %%
# The search. A residual of 2, about the size of the noise, is where the yardstick
# turns from squares to absolute values.

model = make_pipeline(PolynomialFeatures(7, include_bias=False), HuberRegressor())
rhos = [1.05, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, np.inf]
search = GridSearchCV(
    model,
    {"huberregressor__rho": rhos},
    scoring=make_huber_scorer(rho=2.0),
    cv=KFold(10, shuffle=True, random_state=0),
).fit(X, y)

error = -search.cv_results_["mean_test_score"]
print(f"{'rho':>6s}{'mean Huber error':>18s}")
for rho, value in zip(rhos, error, strict=True):
    print(f"{rho:6.2f}{value:18.3f}{'   <- best' if value == error.min() else ''}")

best = search.best_estimator_
plain = model.set_params(huberregressor__rho=np.inf).fit(X, y)
print("\nRoot mean square distance from the true curve")
for name, fit in [("best rho", best), ("rho = inf (ridge)", plain)]:
    print(f"  {name:20s}{np.sqrt(np.mean((fit.predict(X) - curve) ** 2)):6.2f}")

# %%
# A picture

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
grid = np.linspace(-3, 3, 200)
left.plot(x, y, ".", color="tab:gray", alpha=0.5, label="readings")
left.plot(grid, 10 * np.sin(grid) + grid**2, "k--", label="true curve")
left.plot(grid, plain.predict(grid[:, np.newaxis]), color="tab:red", label="rho = inf")
best_rho = search.best_params_["huberregressor__rho"]
left.plot(
    grid, best.predict(grid[:, np.newaxis]), color="tab:blue", label=f"rho = {best_rho}"
)
left.set(xlabel="x", ylabel="y", ylim=(-20, 60), title="The two fits")
left.legend()
finite = np.isfinite(rhos)
right.plot(np.array(rhos)[finite], error[finite], "o-", color="tab:blue")
right.axhline(error[-1], color="tab:red", label="rho = inf")
right.axvline(best_rho, color="tab:blue", linestyle=":", label="chosen")
right.set(xlabel="rho", ylabel="mean Huber error", title="Ten-fold cross-validation")
right.legend()
figure.savefig(here / "grid_search.png", dpi=120)
print("\nPicture: grid_search.png, beside this file")
plt.show()

"""
More genes than samples: which ones matter?
===========================================

How much riboflavin (vitamin B2) do bacteria make, given the activity of their genes?
There are 71 samples of *Bacillus subtilis* and the 200 genes that vary most. With more
columns than rows least squares has no unique answer. `HuberElasticNet` selects a few
genes, and does so although some targets are wrong.

Run it with ``python examples/plot_elastic_net.py``.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LassoCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhuber import HuberElasticNet, HuberRegressor, huber_enet_path, pivotal_alpha
from skhuber.inspection import HuberNetPathDisplay

try:
    here = Path(__file__).parent
except NameError:  # in a gallery, which runs its examples where they lie
    here = Path.cwd()

# %%
# The data
# --------
# Target and columns are logarithms, of production and of the activity of genes.

header, *lines = (here / "data" / "riboflavin.csv").read_text().splitlines()
genes = [name.removesuffix("_at") for name in header.split(",")[:-1]]
table = np.loadtxt(lines, delimiter=",")
X, production = table[:, :-1], table[:, -1]
n, p = X.shape
print(f"{n} samples, {p} genes")
print(f"log production from {production.min():.2f} to {production.max():.2f}")

# %%
# The path
# --------
# With the joint scale, the alpha at which pure noise selects no gene depends on the
# numbers of samples and genes alone. `pivotal_alpha` computes it, without a search. The
# path shows the genes that it selects in colour, and in grey those that a smaller alpha
# adds.
#
# The threshold is 2. With the default of 1.35, 29 of the 71 samples would be outliers.

rho = 2.0
alpha = pivotal_alpha(n, p)
path = huber_enet_path(X, production, rho=rho, n_alphas=50, eps=0.1)
display = HuberNetPathDisplay.from_path(path, alpha=alpha, feature_names=genes)
display.ax_.set_title("Coefficients of 200 genes")
display.figure_.savefig(here / "elastic_net_path.png", dpi=80)
print("Picture: elastic_net_path.png, beside this file")

# %%
# Select, then fit again
# ----------------------
# The penalty shrinks the coefficients that are not zero. A second fit, to the selected
# genes and without a penalty, does not. (Genes are correlated, and one that was not
# selected may tell as much as one that was.)


def select(target):
    """Return the genes that the pivotal alpha selects, and the penalised fit."""
    model = HuberElasticNet(alpha, rho=rho).fit(X, target)
    return np.flatnonzero(model.coef_), model


chosen, penalised = select(production)
again = HuberRegressor(rho, alpha=0).fit(X[:, chosen], production)
print(f"{'gene':8s}{'penalised':>10s}{'refit':>8s}")
for j, k in enumerate(chosen):
    print(f"{genes[k]:8s}{penalised.coef_[k]:10.2f}{again.coef_[j]:8.2f}")
print(f"scale   {penalised.scale_:10.2f}{again.scale_:8.2f}")

# %%
# Wrong targets
# -------------
# All targets are negative. Suppose that four of the 71 lose their minus sign when the
# table is typed, and fit again. The lasso with squared loss and an alpha from
# cross-validation is for comparison.

wrong = np.random.default_rng(0).choice(n, 4, replace=False)
typed = production.copy()
typed[wrong] *= -1

chosen_typed, robust = select(typed)
again_typed = HuberRegressor(rho, alpha=0).fit(X[:, chosen_typed], typed)
lassos = [
    make_pipeline(StandardScaler(), LassoCV(max_iter=100_000)).fit(X, target)
    for target in (production, typed)
]
chosen_squares, squares_typed = (np.flatnonzero(lasso[-1].coef_) for lasso in lassos)


def kept(before, after):
    both = np.intersect1d(before, after)
    return (
        f"{len(before)} genes before, {len(after)} after, {len(both)} of them in both"
    )


print(f"Huber          {kept(chosen, chosen_typed)}")
print(f"squared loss   {kept(chosen_squares, squares_typed)}")
print(f"the four are outliers of the robust fit: {again_typed.outliers_[wrong].all()}")
print(f"their weights: {again_typed.robust_weights_[wrong].round(2)}")

# %%
# The robust fit keeps most of its genes, and reports the four samples as outliers with
# weights near zero. The lasso with squared loss selects other genes than before. What
# both fits to the mistyped targets predict:

predicted = {
    "Huber, refit": again_typed.predict(X[:, chosen_typed]),
    "squared loss": lassos[1].predict(X),
}
figure, axes = plt.subplots(
    1, 2, figsize=(8.5, 4.2), sharex=True, sharey=True, layout="constrained"
)
right = np.setdiff1d(np.arange(n), wrong)
for ax, (name, values) in zip(axes, predicted.items(), strict=True):
    apart = np.median(np.abs(values - production))
    print(f"{name}: median distance from the true log production {apart:.2f}")
    ax.axline((-7, -7), slope=1, color="0.5", linewidth=0.8)
    ax.plot(production[right], values[right], ".", color="tab:blue", label="right")
    ax.plot(production[wrong], values[wrong], "x", color="tab:red", label="mistyped")
    ax.set_xlabel("true log production")
    ax.set_title(f"{name}: {apart:.2f} off")
axes[0].set_ylabel("predicted from mistyped targets")
axes[0].legend()
figure.savefig(here / "elastic_net.png", dpi=80)
print("Picture: elastic_net.png, beside this file")
plt.show()

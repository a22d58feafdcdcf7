"""
Folds that keep days together
=============================

Hours of one day resemble each other. Random folds put some of them into the training
set and the others into the test set, and so measure how well hours of *known* days are
predicted. If new days are to be predicted, whole days must be left out:
``HuberRegressorCV(cv=GroupKFold()).fit(X, y, groups=day)``. The question changes the
answer: both the error and the penalty that is best.

Run it with ``python examples/plot_groups.py``.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skhuber import HuberRegressorCV
from skhuber.inspection import CVRhoDisplay

try:
    here = Path(__file__).parent
except NameError:  # in a gallery, which runs its examples where they lie
    here = Path.cwd()

# %%
# A pipeline
# ----------
# One dummy for each day, as a sparse matrix; emission and wind in units of their
# spread. The penalty shrinks the effects of the days towards zero. Of a new day nothing
# else is known.

table = np.loadtxt(
    here / "data" / "NOxEmissions.csv", delimiter=",", skiprows=1, quotechar='"'
)
day, concentration = table[:, 0], table[:, 1]
X = table[:, [0, 2, 3]]

columns = ColumnTransformer(
    [("day", OneHotEncoder(), [0]), ("scale", StandardScaler(), [1, 2])]
)
rhos = [1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0]
alphas = [0.01, 1.0, 10.0, 100.0]

# %%
# Two kinds of folds
# ------------------
# A pipeline hands `groups` on to the step that its name says.

random_folds = make_pipeline(
    columns,
    HuberRegressorCV(rhos, alphas=alphas, cv=KFold(5, shuffle=True, random_state=0)),
).fit(X, concentration)
whole_days = make_pipeline(
    columns, HuberRegressorCV(rhos, alphas=alphas, cv=GroupKFold(5))
).fit(X, concentration, huberregressorcv__groups=day)

print(f"{'':16s}{'rho':>6s}{'alpha':>7s}{'mean Huber error':>18s}")
for name, model in [("random folds", random_folds), ("whole days", whole_days)]:
    search = model[-1]
    print(
        f"{name:16s}{search.rho_:6.2f}{search.alpha_:7.0f}{-search.best_score_:18.4f}"
    )

# %%
# Both searches use the same yardstick, so their errors can be compared: that of new
# days is larger by four tenths. And while the effects of known days are worth keeping,
# for new days they are best shrunk hard. What the day adds is a part of the residual
# then, and rho hardly matters: at alpha = 100 the error changes with it by less than
# half a per cent.

assert np.isclose(
    random_folds[-1].scoring_threshold_, whole_days[-1].scoring_threshold_
)
print(f"threshold of the yardstick: {whole_days[-1].scoring_threshold_:.3f} log ppb")

# %%
# A picture
# ---------

figure, axes = plt.subplots(2, 1, figsize=(7.5, 6.4), sharex=True, layout="constrained")
for ax, model, title in [
    (axes[0], random_folds, "Random folds: hours of known days"),
    (axes[1], whole_days, "Whole days left out: new days"),
]:
    CVRhoDisplay.from_estimator(model, std=None, ax=ax)
    ax.set_title(title)
    ax.label_outer()
    ax.set_ylabel("minus the mean Huber error\n(squared log ppb)")
figure.savefig(here / "groups.png", dpi=72)
print("Picture: groups.png, beside this file")
plt.show()

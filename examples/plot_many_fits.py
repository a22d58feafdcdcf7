"""
A fit for each day
==================

How much do the emissions of cars on a motorway add to the nitrogen oxides beside it,
and is it as much on every day? ``huber_groups`` fits each of 338 days on its own, and
returns arrays with a row for each day, ready for a frame.

Run it with ``python examples/plot_many_fits.py``.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl

from skhuber import HuberRegressor, huber_groups

try:
    here = Path(__file__).parent
except NameError:  # in a gallery, which runs its examples where they lie
    here = Path.cwd()

# %%
# From pandas
# -----------
# The column of the day says which hours belong together, in whatever order they are.

hours = pd.read_csv(here / "data" / "NOxEmissions.csv")
features = ["LNOxEm", "sqrtWS"]
fits = huber_groups(hours[features], hours["LNOx"], hours["julday"])

days = pd.DataFrame(fits.coefs, index=pd.Index(fits.groups, name="julday"))
days.columns = features
days = days.assign(
    intercept=fits.intercepts,
    scale=fits.scales,
    hours=fits.n_samples,
    outliers=fits.n_outliers,
)
print(days.describe().round(2).loc[["count", "min", "50%", "max"]])

# %%
# From polars
# -----------
# Columns of polars frames serve as well.

table = pl.read_csv(here / "data" / "NOxEmissions.csv")
fits = huber_groups(table[features], table["LNOx"], table["julday"])
result = pl.DataFrame(
    {"julday": fits.groups, "scale": fits.scales, "outliers": fits.n_outliers}
)
print(result.sort("outliers", descending=True).head(3))

# %%
# Each row is a single fit
# ------------------------
# A model of one day alone has these numbers, bit for bit.

own = hours[hours["julday"] == fits.groups[-1]]
model = HuberRegressor().fit(own[features], own["LNOx"])
assert np.array_equal(model.coef_, fits.coefs[-1])

# %%
# A picture
# ---------
# Both sides are logarithms, so the slope of the emissions is an elasticity: if the
# emissions double, the concentration is multiplied by two to the power of the slope.

figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), sharex=True, layout="constrained")
for ax, name, title in zip(
    axes, features, ["log emissions", "square root of the wind speed"], strict=True
):
    ax.plot(fits.groups, days[name], ".", markersize=4)
    ax.axhline(days[name].median(), color="C1", label="median")
    ax.set_title(f"Slope of the {title}")
    ax.set_xlabel("day")
    ax.legend()
figure.savefig(here / "many_fits.png", dpi=72)
print("Picture: many_fits.png, beside this file")
plt.show()

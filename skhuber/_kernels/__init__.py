"""Compiled loops over rows.

`scalar` has the Huber formulas, each once; `dense` and `csr` know how to read the
rows of one layout; `passes` puts the two together into sweeps. Nothing here knows
a model or an estimator, and nothing outside `skhuber._rows` (for the data of a
regression) imports from here.
"""

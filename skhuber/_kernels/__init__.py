"""Compiled loops.

For regression, over rows: `scalar` has the Huber formulas, each once; `dense` and `csr`
read the rows of one layout; `sweeps` puts the two together; `direct` minimises small
problems. Only `skhuber._rows` and `skhuber._direct` import these modules.

For losses of arrays, over elements: `rules` says which loss, `formulas` has the scalar
formulas, `elementwise` the loop; `ctc` runs over utterances. Only `skhuber.losses`
imports these.

Nothing here knows a model or an estimator.
"""

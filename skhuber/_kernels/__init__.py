"""Compiled loops.

For regression, over rows: `scalar` has the Huber formulas, each once; `dense` and `csr`
know how to read the rows of one layout; `passes` puts the two together into sweeps;
`direct` minimises small problems. Only `skhuber._rows` and `skhuber._direct` import
these.

For losses of arrays, over elements: `rules` says which loss, `formulas` has the scalar
formulas, `elementwise` the loop; `ctc` runs over utterances. Only `skhuber.losses`
imports these.

Nothing here knows a model or an estimator.
"""

"""Compiled loops, independent of models and estimators.

Regression, over rows: `scalar` has the Huber formulas; `dense` and `csr` read the rows
of one layout; `passes` combines formulas and layouts into sweeps; `direct` minimises
small problems. Only `skhuber._rows` and `skhuber._direct` import these modules.

Losses of arrays: `rules` identifies a loss and its constants, `formulas` has the scalar
formulas, `elementwise` the loop over elements, `ctc` the loop over utterances. Only
`skhuber.losses` imports these modules.
"""

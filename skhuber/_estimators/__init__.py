"""Estimators: parameters, validated data, fitted attributes.

These modules follow scikit-learn's conventions and contain nothing of how a fit is
computed. They import the fitting core, and numba with it, at the first fit: importing
the package and predicting need neither.
"""

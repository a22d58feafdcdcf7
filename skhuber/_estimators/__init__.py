"""Estimators: parameters, validated data, fitted attributes.

They know scikit-learn's conventions and nothing of how a fit is computed. The fitting
core, and numba with it, is imported at the first fit, so that importing the package and
predicting stay light.
"""

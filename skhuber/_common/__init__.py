"""Helpers that know nothing of fits: validation, arrays, scales of residuals."""

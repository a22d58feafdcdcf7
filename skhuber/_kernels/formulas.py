"""Scalar formulas of the elementwise losses.

A formula takes a rule and the numbers (pred, label, extra) and returns ::

    term, ∂term/∂pred, ∂term/∂label, ∂term/∂extra, ∂²term/∂pred²

The compiler drops the results that a loop does not use. All numbers are float64, also
for arrays of float32: the time goes into reading the arrays, and the results are exact
to the last digit of float32. `extra` is the `pos_weight` of the cross-entropy, and 1
for a loss without one.
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from skhuber._kernels import rules
from skhuber._kernels.scalar import clip
from skhuber._runtime import formula_kernel

# mypy: disable-error-code="no-untyped-def"


@formula_kernel
def squared(rule, pred, label, extra):
    residual = pred - label
    slope = rule.curvature * residual
    return 0.5 * slope * residual, slope, -slope, 0.0, rule.curvature


@formula_kernel
def absolute(rule, pred, label, extra):
    residual = pred - label
    sign = residual  # keeps 0 and NaN
    if residual > 0.0:
        sign = 1.0
    elif residual < 0.0:
        sign = -1.0
    slope = rule.slope * sign
    return rule.slope * abs(residual), slope, -slope, 0.0, 0.0


@formula_kernel
def huber(rule, pred, label, extra):
    residual = pred - label
    clipped = clip(residual, rule.threshold)
    slope = clip(residual * rule.curvature, rule.slope)
    curvature = 0.0 if abs(residual) > rule.threshold else rule.curvature
    return slope * (residual - 0.5 * clipped), slope, -slope, 0.0, curvature


@formula_kernel
def hinge(rule, pred, label, extra):
    lack = rule.margin - pred * label
    if lack <= 0.0:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    if np.isnan(lack):
        return lack, lack, lack, 0.0, 0.0
    return lack, -label, -pred, 0.0, 0.0


@formula_kernel
def squared_hinge(rule, pred, label, extra):
    lack = rule.margin - pred * label
    if lack <= 0.0:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    return (
        lack * lack,
        -2.0 * label * lack,
        -2.0 * pred * lack,
        0.0,
        2.0 * label * label,
    )


@formula_kernel
def cross_entropy_of_logits(rule, pred, label, extra):
    # Both log-probabilities and both probabilities follow from log(1 + e^-|pred|) and
    # 1/(1 + e^-|pred|), which neither cancel nor overflow.
    z = rule.slope * label + rule.offset
    small = np.exp(-abs(pred))
    rest = np.log1p(small)
    greater = 1.0 / (1.0 + small)
    if pred >= 0.0:
        of_one, of_zero = rest, pred + rest
        sigmoid, its_rest = greater, small * greater
    else:
        of_one, of_zero = rest - pred, rest
        sigmoid, its_rest = small * greater, greater
    positive = extra * z
    # Count 0 · ∞ as 0.
    part_of_one = 0.0 if positive == 0.0 and not np.isnan(pred) else positive * of_one
    part_of_zero = 0.0 if z == 1.0 and not np.isnan(pred) else (1.0 - z) * of_zero
    return (
        part_of_one + part_of_zero,
        (1.0 - z) * sigmoid - positive * its_rest,
        rule.slope * (extra * of_one - of_zero),
        z * of_one,
        (positive + (1.0 - z)) * sigmoid * its_rest,
    )


@formula_kernel
def cross_entropy_of_probabilities(rule, pred, label, extra):
    one = pred + rule.epsilon
    zero = (1.0 - pred) + rule.epsilon
    log_one, log_zero = np.log(one), np.log(zero)
    positive = extra * label
    return (
        -(positive * log_one + (1.0 - label) * log_zero),
        (1.0 - label) / zero - positive / one,
        log_zero - extra * log_one,
        -label * log_one,
        positive / (one * one) + (1.0 - label) / (zero * zero),
    )


@formula_kernel
def stirling(rule, label):
    """Return Stirling's approximation of log(label!) and its derivative.

    Return zeros for a label up to 1, or if the rule does not ask for it.
    """
    if rule.full == 0.0 or not label > 1.0:
        return 0.0, 0.0
    log_label = np.log(label)
    return (
        label * log_label - label + 0.5 * np.log(2.0 * np.pi * label),
        log_label + 0.5 / label,
    )


@formula_kernel
def poisson_of_logs(rule, pred, label, extra):
    rate = np.exp(pred)
    full, slope = stirling(rule, label)
    counted = 0.0 if label == 0.0 else label * pred  # pred may be −∞, the log of 0
    return rate - counted + full, rate - label, slope - pred, 0.0, rate


@formula_kernel
def poisson_of_rates(rule, pred, label, extra):
    rate = pred + rule.epsilon
    log_rate = np.log(rate)
    full, slope = stirling(rule, label)
    ratio = 0.0 if label == 0.0 else label / rate
    counted = 0.0 if label == 0.0 else label * log_rate
    return (
        pred - counted + full,
        1.0 - ratio,
        slope - log_rate,
        0.0,
        (ratio / rate),
    )


_FORMULA = {
    rules.Squared: squared,
    rules.Absolute: absolute,
    rules.Huber: huber,
    rules.Hinge: hinge,
    rules.SquaredHinge: squared_hinge,
    rules.CrossEntropyOfLogits: cross_entropy_of_logits,
    rules.CrossEntropyOfProbabilities: cross_entropy_of_probabilities,
    rules.PoissonOfLogs: poisson_of_logs,
    rules.PoissonOfRates: poisson_of_rates,
}


# Compiled code calls the overload below, which selects the formula by the rule's type.
# The function serves code that runs with numba's compilation switched off.
def formula(rule, pred, label, extra):
    return _FORMULA[type(rule)](rule, pred, label, extra)


@overload(formula)
def _formula(rule, pred, label, extra):
    chosen = _FORMULA[rule.instance_class]
    return lambda rule, pred, label, extra: chosen(rule, pred, label, extra)

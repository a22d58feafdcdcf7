"""Rules: identifiers of the elementwise losses, with their constants.

The type of a rule selects the formula in `skhuber._kernels.formulas`; its fields are
the formula's constants. This module does not load numba, so that a loss can make its
rule before anything is compiled. All fields are floats, and each rule has at least one,
since numba does not type an empty named tuple.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "Absolute",
    "CrossEntropyOfLogits",
    "CrossEntropyOfProbabilities",
    "Hinge",
    "Huber",
    "PoissonOfLogs",
    "PoissonOfRates",
    "Rule",
    "Squared",
    "SquaredHinge",
]


class Squared(NamedTuple):
    """curvature · r² / 2."""

    curvature: float


class Absolute(NamedTuple):
    """slope · |r|."""

    slope: float


class Huber(NamedTuple):
    """curvature · r² / 2 up to the threshold, slope · (|r| − threshold / 2) beyond."""

    threshold: float
    curvature: float
    slope: float


class Hinge(NamedTuple):
    """max(0, margin − pred·label)."""

    margin: float


class SquaredHinge(NamedTuple):
    """max(0, margin − pred·label)²."""

    margin: float


class CrossEntropyOfLogits(NamedTuple):
    """−extra·z·log σ(pred) − (1 − z)·log σ(−pred), with z = slope·label + offset."""

    slope: float
    offset: float


class CrossEntropyOfProbabilities(NamedTuple):
    """−extra·label·log(pred + epsilon) − (1 − label)·log(1 − pred + epsilon)."""

    epsilon: float


class PoissonOfLogs(NamedTuple):
    """exp(pred) − label·pred, and Stirling's terms if full (0.0 or 1.0)."""

    full: float


class PoissonOfRates(NamedTuple):
    """pred − label·log(pred + epsilon), and Stirling's terms if full (0.0 or 1.0)."""

    full: float
    epsilon: float


Rule = (
    Squared
    | Absolute
    | Huber
    | Hinge
    | SquaredHinge
    | CrossEntropyOfLogits
    | CrossEntropyOfProbabilities
    | PoissonOfLogs
    | PoissonOfRates
)

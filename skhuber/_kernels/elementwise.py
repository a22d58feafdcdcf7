"""The loop over the elements of an elementwise loss: terms, weights and sums at once.

The arrays are flat. `row_length` says how many elements in a row make up one entry of
the batch (all of them, where entries do not matter). The elements are taken in chunks
that fit in a level-1 cache: whole rows where rows are short, parts of a row where they
are long. A chunk's terms and derivatives go to a small buffer in float64; then they are
weighted, and stored or summed. A loop does one or the other, since one that did both
could add in another order (see `skhuber._kernels.sweeps`).
"""

from __future__ import annotations

import numpy as np

from skhuber._kernels.formulas import formula
from skhuber._runtime import block_kernel

# mypy: disable-error-code="no-untyped-def"

# Three buffers of so many float64 are 24 KB: they stay in a level-1 cache.
CHUNK = 1024

# How the weight of an element is found in an array of weights.
NO_WEIGHT, WEIGHT_OF_ROW, WEIGHT_OF_ELEMENT = range(3)

# Which derivative: none, by pred, by label, by extra, and the second by pred.
NONE, PRED, LABEL, EXTRA, CURVATURE = range(5)


def chunk_size(row_length):
    """Elements in a chunk, and chunks in a row: one of the two is of whole rows."""
    if row_length <= CHUNK:
        return CHUNK // row_length * row_length, 1
    return CHUNK, -(-row_length // CHUNK)


@block_kernel
def _fill(rule, pred, label, extra, wanted, derivative, terms, slopes):
    """Terms and one derivative of one chunk; what both need is computed once."""
    if wanted and derivative == PRED:
        for i in range(pred.size):
            term, slope, _, _, _ = formula(
                rule, np.float64(pred[i]), np.float64(label[i]), extra[i]
            )
            terms[i] = term
            slopes[i] = slope
        return
    if wanted:
        for i in range(pred.size):
            terms[i] = formula(
                rule, np.float64(pred[i]), np.float64(label[i]), extra[i]
            )[0]
    if derivative == PRED:
        for i in range(pred.size):
            slopes[i] = formula(
                rule, np.float64(pred[i]), np.float64(label[i]), extra[i]
            )[1]
    elif derivative == LABEL:
        for i in range(pred.size):
            slopes[i] = formula(
                rule, np.float64(pred[i]), np.float64(label[i]), extra[i]
            )[2]
    elif derivative == EXTRA:
        for i in range(pred.size):
            slopes[i] = formula(
                rule, np.float64(pred[i]), np.float64(label[i]), extra[i]
            )[3]
    elif derivative == CURVATURE:
        for i in range(pred.size):
            slopes[i] = formula(
                rule, np.float64(pred[i]), np.float64(label[i]), extra[i]
            )[4]


@block_kernel
def _weigh(values, mode, weight, start, row_length):
    """Multiply the values of a chunk by their weights, in place."""
    if mode == WEIGHT_OF_ELEMENT:
        own = weight[start : start + values.size]
        for i in range(values.size):
            values[i] *= own[i]
    elif mode == WEIGHT_OF_ROW:
        begin = 0
        while begin < values.size:  # row by row, or the part of the row in the chunk
            row = (start + begin) // row_length
            end = min((row + 1) * row_length - start, values.size)
            for i in range(begin, end):
                values[i] *= weight[row]
            begin = end


@block_kernel
def _store(values, unit, out):
    for i in range(values.size):
        out[i] = unit * values[i]


@block_kernel
def _sum_rows(values, unit, start, row_length, chunk, sums):
    """Sums of the rows of a chunk, or of the part of a row that it is."""
    if row_length > values.size:
        total = 0.0
        for i in range(values.size):
            total += values[i]
        sums[chunk] = unit * total
        return
    row = start // row_length
    for begin in range(0, values.size, row_length):
        total = 0.0
        for i in range(begin, begin + row_length):
            total += values[i]
        sums[row] = unit * total
        row += 1


@block_kernel
def evaluate(
    first, last, rule, pred, label, extra, row_length, chunk_length, chunks_per_row,
    unit, mode, weight, slope_unit, slope_mode, slope_weight, derivative,
    terms, sums, slopes,
):  # fmt: skip
    """Weighted terms or their sums, and a derivative, of the chunks first ≤ k < last.

    Parameters
    ----------
    rule : tuple
        See `skhuber._kernels.rules`.
    pred, label : arrays of n
    extra : array
        Repeated along the elements as often as it takes; empty for ones.
    row_length, chunk_length, chunks_per_row : int
        See `chunk_size`.
    unit, mode, weight
        Factor of all terms, and how the array `weight` multiplies them.
    slope_unit, slope_mode, slope_weight
        The same for the derivative.
    derivative : int
        NONE, PRED, LABEL, EXTRA or CURVATURE.
    terms : array of n, or empty
        For the weighted terms, where they are wanted as they are.
    sums : array, or empty
        For the sum of each row, or of each chunk where a row has several.
    slopes : array of n, or empty
        For the weighted derivatives.
    """
    n = pred.size
    term_buffer = np.empty(chunk_length)
    slope_buffer = np.empty(chunk_length)
    extra_buffer = np.ones(chunk_length)
    for k in range(first, last):
        if chunks_per_row > 1:
            row = k // chunks_per_row
            start = row * row_length + (k - row * chunks_per_row) * chunk_length
            stop = min(start + chunk_length, (row + 1) * row_length)
        else:
            start = k * chunk_length
            stop = min(start + chunk_length, n)
        size = stop - start
        if extra.size > 0:
            position = start % extra.size
            for i in range(size):
                extra_buffer[i] = extra[position]
                position += 1
                if position == extra.size:
                    position = 0
        values = term_buffer[:size]
        derivatives = slope_buffer[:size]
        wanted = terms.size > 0 or sums.size > 0
        _fill(
            rule, pred[start:stop], label[start:stop], extra_buffer[:size],
            wanted, derivative, values, derivatives,
        )  # fmt: skip
        if wanted:
            _weigh(values, mode, weight, start, row_length)
            if terms.size > 0:
                _store(values, unit, terms[start:stop])
            else:
                _sum_rows(values, unit, start, row_length, k, sums)
        if derivative != NONE:
            _weigh(derivatives, slope_mode, slope_weight, start, row_length)
            _store(derivatives, slope_unit, slopes[start:stop])

"""Loop over the elements of an elementwise loss: terms, weights and sums in one sweep.

The arrays are flat. A row is `row_length` consecutive elements, one entry of the batch,
or all elements if the entries are not told apart. The elements are processed in chunks
that fit in a level-1 cache: several whole rows if rows are short, parts of a row if
they are long. A chunk's terms and derivatives are computed in small float64 buffers,
then weighted, then stored or summed. Each loop either stores or sums, since the
compiler may add in varying order in a loop that does both (see `_clip_and_sum` in
`skhuber._kernels.passes`).
"""

from __future__ import annotations

import numpy as np

from skhuber._kernels.formulas import formula
from skhuber._runtime import block_kernel

# mypy: disable-error-code="no-untyped-def"

# Elements in a chunk. Three buffers of 1024 float64 take 24 KiB, less than a level-1
# cache of 32 KiB.
CHUNK = 1024

# Modes of an array of weights: unused, one weight for each row, or for each element.
NO_WEIGHT, WEIGHT_OF_ROW, WEIGHT_OF_ELEMENT = range(3)

# Derivatives: none, by pred, by label, by extra, and the second by pred.
NONE, PRED, LABEL, EXTRA, CURVATURE = range(5)


def chunk_size(row_length):
    """Return the number of elements in a chunk and the number of chunks in a row.

    A chunk holds whole rows if the number of chunks in a row is 1.
    """
    if row_length <= CHUNK:
        return CHUNK // row_length * row_length, 1
    return CHUNK, -(-row_length // CHUNK)


@block_kernel
def _fill(rule, pred, label, extra, wanted, derivative, terms, slopes):
    """Fill `terms` (if `wanted`) and `slopes` with a chunk's terms and derivatives."""
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
        while begin < values.size:  # each row, or the part of it in the chunk
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
    """Store the sum of each row of a chunk, or of the part of a row in the chunk."""
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
    """Compute terms or their sums, and a derivative, of the chunks first ≤ k < last.

    Parameters
    ----------
    rule : tuple
        Formula and constants; see `skhuber._kernels.rules`.
    pred, label : arrays of n
    extra : array
        Third numbers of the formula, repeated cyclically; empty for ones.
    row_length, chunk_length, chunks_per_row : int
        Elements in a row, elements in a chunk, chunks in a row; see `chunk_size`.
    unit, mode, weight
        Factor of all terms, mode of the array `weight`, factors of single terms.
    slope_unit, slope_mode, slope_weight
        Factor of all derivatives, mode of `slope_weight`, factors of single ones.
    derivative : int
        NONE, PRED, LABEL, EXTRA or CURVATURE.
    terms : array of n, or empty
        Filled with the weighted terms.
    sums : array, or empty
        Filled with the sum of each row, or of each chunk if a row has several. Unused
        if `terms` is not empty.
    slopes : array of n, or empty
        Filled with the weighted derivatives.
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

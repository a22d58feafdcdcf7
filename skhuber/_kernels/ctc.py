"""Forward and backward recursions of connectionist temporal classification.

A path through the frames of an utterance passes states s = 0 … 2L of its L labels: an
even state is a blank, an odd one is label (s − 1)/2. From one frame to the next, a path
stays, moves on by one state, or moves on by two from a label to a different label. With
log p the log-softmax of the frame's logits,

    α_t(s) = log p_t(s) + log Σ exp α_{t−1}(s′)      over s′ from which s is reached,
    β_t(s) = log Σ exp (β_{t+1}(s′) + log p_{t+1}(s′))   over s′ reached from s,

the probability P of the labels is exp α_T(2L) + exp α_T(2L − 1). The posterior
probability of state s at frame t is exp(α_t(s) + β_t(s)) / P. The gradient of −log P
with respect to the logit of a class is its softmax less the sum of the posteriors of
the states of the class. (A. Graves, S. Fernández, F. Gomez and J. Schmidhuber,
"Connectionist Temporal Classification", ICML 2006, eqs. 6 to 16; in logarithms, so that
nothing underflows.)

The recursions skip the states that cannot be reached from the start, and those from
which the end cannot be reached: at frame t the states from 2(t + 1) on, and those
before 2L + 1 − 2(T − t).
"""

from __future__ import annotations

import numpy as np

from skhuber._runtime import block_kernel

# mypy: disable-error-code="no-untyped-def"


@block_kernel
def _log_sum_2(a, b):
    """Return log(exp a + exp b), or NaN if a or b is NaN."""
    if a == -np.inf:
        return b
    if b == -np.inf:
        return a
    return max(a, b) + np.log1p(np.exp(-abs(a - b)))


@block_kernel
def _log_softmax(logits, log_p):
    for t in range(logits.shape[0]):
        greatest = -np.inf
        for k in range(logits.shape[1]):
            log_p[t, k] = logits[t, k]
            greatest = max(greatest, log_p[t, k])
        total = 0.0
        for k in range(logits.shape[1]):
            total += np.exp(log_p[t, k] - greatest)
        shift = greatest + np.log(total)
        for k in range(logits.shape[1]):
            log_p[t, k] -= shift


@block_kernel
def _forward(log_p, classes, skips, alpha):
    """Fill `alpha` and return −log of the probability of the labels."""
    n_frames, n_states = alpha.shape
    alpha[:] = -np.inf
    alpha[0, 0] = log_p[0, classes[0]]
    if n_states > 1:
        alpha[0, 1] = log_p[0, classes[1]]
    for t in range(1, n_frames):
        start = max(0, n_states - 2 * (n_frames - t))
        for s in range(start, min(n_states, 2 * (t + 1))):
            total = alpha[t - 1, s]
            if s > 0:
                total = _log_sum_2(total, alpha[t - 1, s - 1])
            if skips[s]:
                total = _log_sum_2(total, alpha[t - 1, s - 2])
            alpha[t, s] = total + log_p[t, classes[s]]
    last = alpha[n_frames - 1, n_states - 1]
    if n_states > 1:
        last = _log_sum_2(last, alpha[n_frames - 1, n_states - 2])
    return -last


@block_kernel
def _backward(log_p, classes, skips, alpha, term, factor, gradient):
    """Subtract factor · posterior of each state from the gradient of its class.

    `term` is −log of the probability of the labels. The frames are visited from the
    last to the first.
    """
    n_frames, n_states = alpha.shape
    beta = np.full(n_states, -np.inf)
    following = np.full(n_states + 2, -np.inf)
    for t in range(n_frames - 1, -1, -1):
        start = max(0, n_states - 2 * (n_frames - t))
        stop = min(n_states, 2 * (t + 1))
        if t == n_frames - 1:
            for s in range(start, n_states):
                beta[s] = 0.0
        else:
            for s in range(n_states):
                following[s] = beta[s] + log_p[t + 1, classes[s]]
            for s in range(n_states):
                total = _log_sum_2(following[s], following[s + 1])
                if s + 2 < n_states and skips[s + 2]:
                    total = _log_sum_2(total, following[s + 2])
                beta[s] = total
        for s in range(start, stop):
            posterior = np.exp(alpha[t, s] + beta[s] + term)
            gradient[t, classes[s]] -= factor * posterior


@block_kernel
def evaluate(first, last, logits, labels, n_frames, n_labels, terms, factor, gradient):
    """Compute the terms of the utterances first ≤ i < last and their gradients.

    Parameters
    ----------
    logits : array of shape (n, T, C)
        Logits of the classes. The last class is the blank.
    labels : array of shape (n, L)
        Class indices.
    n_frames, n_labels : arrays of n
        Numbers of frames and of labels that each utterance uses.
    terms : array of n
        Filled with the terms.
    factor : array of n
        Factors of the terms in the gradient.
    gradient : array of shape (n, T, C), or with n = 0 for no gradient
        Zeros; filled with the gradient of Σ factor · terms.
    """
    blank = logits.shape[2] - 1
    for i in range(first, last):
        length, frames = n_labels[i], n_frames[i]
        if frames == 0:
            terms[i] = 0.0 if length == 0 else np.inf
            continue
        n_states = 2 * length + 1
        classes = np.full(n_states, blank)
        skips = np.zeros(n_states, np.bool_)
        for j in range(length):
            classes[2 * j + 1] = labels[i, j]
            skips[2 * j + 1] = j > 0 and labels[i, j] != labels[i, j - 1]
        log_p = np.empty((frames, blank + 1))
        _log_softmax(logits[i, :frames], log_p)
        alpha = np.empty((frames, n_states))
        term = _forward(log_p, classes, skips, alpha)
        terms[i] = term
        if gradient.shape[0] == 0 or term == np.inf:
            continue  # the labels do not fit into the frames: the gradient is 0
        for t in range(frames):
            for k in range(blank + 1):
                gradient[i, t, k] = factor[i] * np.exp(log_p[t, k])
        _backward(log_p, classes, skips, alpha, term, factor[i], gradient[i])

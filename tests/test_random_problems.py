"""What must hold of every fit, on random problems (see `random_problems`)."""

import pytest

import random_problems

# Not for their kernels: without compilation these problems take minutes.
pytestmark = pytest.mark.compiled


@pytest.mark.parametrize("seed", sorted(random_problems.ONCE_WRONG))
def test_what_was_wrong_once(seed):
    assert random_problems.check(seed).violations == []


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_random_problems(first):
    """Finite, as stated, no worse than its rivals, and the same told otherwise."""
    wrong = {
        seed: checked.violations
        for seed in range(first, first + 50)
        if (checked := random_problems.check(seed)).violations
    }
    assert wrong == {}

"""The folds of a cross-validation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import check_cv

from skhuber._estimators.base import Data


def checked_folds(
    cv: Any, data: Data, params: dict[str, Any]
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return the training and test indices of each fold; refuse empty ones."""
    n = data.X.shape[0]
    splitter = check_cv(cv, data.y, classifier=False)
    folds = [
        (sample_indices(train, n), sample_indices(test, n))
        for train, test in splitter.split(data.X, data.y, **params)
    ]
    if not folds:
        raise ValueError(f"cv must give at least one fold, got none of {cv!r}.")
    for k, (train, test) in enumerate(folds):
        for name, index in (("training", train), ("test", test)):
            weight = None if data.weight is None else data.weight[index]
            if not len(index) or (weight is not None and not weight.any()):
                raise ValueError(
                    "cv must give folds with at least one training and one test "
                    f"sample of positive weight, got {len(index)} {name} samples "
                    f"in fold {k}, of {n} samples in all."
                )
    return folds


def sample_indices(index: ArrayLike, n: int) -> NDArray[np.intp]:
    """Return the indices of samples that an index or a boolean mask selects."""
    array = np.asarray(index)
    try:
        return np.arange(n)[array if array.size else array.astype(np.intp)]
    except IndexError as error:
        raise ValueError(
            f"cv must give numbers or masks of the {n} samples, got {array!r}: {error}."
        ) from error

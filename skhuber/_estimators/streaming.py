"""`partial_fit`: a model of rows that come in batches, and streams that add up."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning

from skhuber._common.validation import check_n_jobs, refuse_bad_values
from skhuber._estimators.base import (
    Data,
    HuberModel,
    unchanged_on_error,
    with_one_blas_thread,
)

if TYPE_CHECKING:
    from skhuber._fit import Fit, Settings
    from skhuber._fit.stream import Stream

# Parameters on which the sums of a stream depend.
_FIXED = ("rho", "scale", "alpha", "fit_intercept")


class StreamingMixin(HuberModel):
    """Methods for rows that come in batches, each of which is seen once."""

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Update the model by a batch of samples, which need not be kept.

        After all batches the model is that of one fit to all samples, up to a small
        part of the standard errors: on one batch, and as long as there are fewer than
        ``max(40 * (n_features + 1), 1000)`` samples, it is that fit itself. Beyond,
        each batch of that many samples has a fit of its own, of which sums of the size
        n_features² are kept; smaller batches are put together first. Samples on which a
        coefficient rests, those of a rare dummy, say, are not summed up, but kept until
        there are others like them: at most ten for each feature of a batch. The order
        of batches of that size has no influence but rounding, unless samples are kept
        for a coefficient (until, after twelve batches, the sums of those most alike are
        added up).

        A batch whose own model lies farther from the common one than the threshold
        (its samples are contaminated, say) counts less, so that a contaminated minority
        may come first. If the samples change in the course of time, the model is that
        of the majority.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Features of the batch.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, as for `fit`.

        Returns
        -------
        self : HuberRegressor
            The estimator. `outliers_` and `robust_weights_` are those of the batch;
            `objective_` and `optimality_gap_` are NaN once samples have been summed up;
            `n_iter_` and `n_sweeps_` are those of the last fit to a batch, and zero if
            there was none.

        Raises
        ------
        ValueError, TypeError
            If parameters or data are not as for `fit`, if `rho` is not a number, or if
            a parameter on which the sums depend was changed since the first batch. The
            estimator stays as it was.

        Warns
        -----
        ConvergenceWarning
            If the fit to a batch could not be shown to be at its minimum.

        See Also
        --------
        merge : Add another model's stream.

        Notes
        -----
        `fit` forgets the stream, and the first batch after it begins a new one.

        The common model weights those of the batches by their curvature (N. Lin and R.
        Xi, "Aggregated estimating equation estimation", Statistics and Its Interface 4,
        2011).

        Examples
        --------
        >>> import numpy as np
        >>> from skhuber import HuberRegressor
        >>> rng = np.random.default_rng(0)
        >>> model = HuberRegressor()
        >>> for _ in range(20):
        ...     X = rng.normal(size=(1000, 2))
        ...     y = X @ [1.0, 2.0] + rng.standard_t(2, size=1000)
        ...     model = model.partial_fit(X, y)
        >>> print(model.coef_.round(1), model.n_samples_seen_)
        [1. 2.] 20000
        """
        with unchanged_on_error(self):
            warning = self._partial_fit(X, y, sample_weight)
        if warning is not None:
            warnings.warn(warning, ConvergenceWarning, stacklevel=2)
        return self

    def merge(self, other: HuberModel) -> Self:
        """Add the stream of another model, as if its batches had been seen here.

        Parameters
        ----------
        other : HuberRegressor
            A model that was fitted by `partial_fit`, with equal `rho`, `scale`, `alpha`
            and `fit_intercept`, to samples with the same features. It stays as it is.

        Returns
        -------
        self : HuberRegressor
            The model of the samples of both. `outliers_` and `robust_weights_` stay
            those of the last batch passed to this model.

        Raises
        ------
        ValueError, TypeError
            If one of the models has no stream, or if they do not fit together.

        Warns
        -----
        ConvergenceWarning
            If the fit to samples kept by both could not be shown to be at its minimum.

        Examples
        --------
        >>> import numpy as np
        >>> from skhuber import HuberRegressor
        >>> rng = np.random.default_rng(0)
        >>> def half():
        ...     X = rng.normal(size=(5000, 2))
        ...     return X, X @ [1.0, 2.0] + rng.standard_t(2, size=5000)
        >>> one = HuberRegressor().partial_fit(*half())
        >>> two = HuberRegressor().partial_fit(*half())
        >>> one.merge(two).n_samples_seen_
        10000
        """
        if not isinstance(other, StreamingMixin):
            raise TypeError(f"other must be a HuberRegressor, got {other!r}.")
        for name, model in (("this model", self), ("other", other)):
            if not hasattr(model, "_stream"):
                raise ValueError(
                    f"{name} has no stream to merge: fit it with partial_fit."
                )
        mine, theirs = self._stream, other._stream
        _check_unchanged("other", mine.settings, theirs.settings)
        if _features(self) != _features(other):
            raise ValueError(
                f"other must have been fitted to {_features(self)}, as this model was, "
                f"got {_features(other)}."
            )
        with unchanged_on_error(self):
            warning = self._merge(theirs)
        if warning is not None:
            warnings.warn(warning, ConvergenceWarning, stacklevel=2)
        return self

    @with_one_blas_thread
    def _partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> str | None:
        """Update the state and the fitted attributes; return a warning, or None."""
        from skhuber._fit.stream import Rows, Stream

        rule, settings = self._checked_parameters()
        if rule is not None:
            raise ValueError(
                f"partial_fit needs a number for rho, got {self.rho!r}: a rule needs "
                "all samples at once. Choose rho by fit on some of them."
            )
        stream: Stream | None = getattr(self, "_stream", None)
        caller = f"{type(self).__name__}.partial_fit"
        data = self._checked_data(
            X, y, sample_weight, reset=stream is None, caller=caller
        )
        refuse_bad_values(X=data.X)
        if stream is None:
            stream = Stream(settings)
        else:
            _check_unchanged("partial_fit", stream.settings, settings)
        rows = Rows(data.X, data.y, data.weight)
        stream, fit = stream.with_rows(rows, data.threads)
        self._take_stream(stream, fit, data)
        if fit is None or fit.converged:
            return None
        return self._not_converged(fit, settings)

    @with_one_blas_thread
    def _merge(self, theirs: Stream) -> str | None:
        """Add a state; return a warning, or None."""
        from skhuber._runtime import thread_count

        n_jobs = check_n_jobs(self.n_jobs)
        size = theirs.n_rows * self.n_features_in_
        stream, fit = self._stream.merged(theirs, thread_count(n_jobs, size))
        self._take_stream(stream, fit, None)
        settings = stream.settings
        if fit is None or fit.converged:
            return None
        return self._not_converged(fit, settings)

    def _take_stream(self, stream: Stream, fit: Fit | None, data: Data | None) -> None:
        """Set the state and the fitted attributes."""
        from skhuber._fit import at_model

        settings = stream.settings
        if fit is not None and data is not None:
            self._check_sums([fit], data)
        self._stream = stream
        self.n_samples_seen_ = stream.n_rows
        if fit is not None and data is not None and len(data.y) == stream.n_rows:
            self._take(fit, settings, data, data.rows())  # one batch
            return
        if fit is not None and stream.is_whole:
            model, gap = fit.as_model(), fit.gap
        else:
            model, gap = stream.model(), np.nan
        coef = model.coef
        if data is not None:
            coef = data.like_X(coef, model.intercept)
            weights, outliers = at_model(data.rows(), model, settings.rho)
            self.robust_weights_, self.outliers_ = weights, outliers
        self.coef_, self.intercept_, self.scale_ = coef, model.intercept, model.scale
        self.rho_ = settings.rho
        self.objective_, self.optimality_gap_ = model.objective, gap
        self.n_iter_ = 0 if fit is None else fit.n_iter
        self.n_sweeps_ = 0 if fit is None else fit.n_sweeps

    def _forget_stream(self) -> None:
        for name in ("_stream", "n_samples_seen_"):
            if hasattr(self, name):
                delattr(self, name)


def _features(model: HuberModel) -> str:
    """Return the number and the names of a model's features as text."""
    names = getattr(model, "feature_names_in_", None)
    return f"{model.n_features_in_} features" + (
        "" if names is None else f" named {', '.join(names)}"
    )


def _check_unchanged(name: str, first: Settings, now: Settings) -> None:
    """Raise an error if parameters of a stream differ."""
    for field in _FIXED:
        expected, found = getattr(first, field), getattr(now, field)
        if expected != found:
            raise ValueError(
                f"{name} must have the {field} of the stream, {expected!r}, got "
                f"{found!r}: its sums hold for that only. Begin a new stream with a "
                "clone."
            )

"""Support of scikit-learn's callbacks, which exist from version 1.9 on.

An estimator that derives from `CallbackSupportMixin` takes callbacks by
``set_callbacks``, and `with_callbacks` decorates its ``fit``. In older versions of
scikit-learn both have no effect. `Tasks` calls the callbacks during a fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Empty stand-in for scikit-learn's mixin in versions before 1.9."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method unchanged."""
        return method


__all__ = ["CallbackSupportMixin", "Tasks", "with_callbacks"]


class Tasks:
    """Tasks of one fit, reported to the callbacks that are set on the estimator.

    Parameters
    ----------
    estimator : estimator
        The estimator that is fitted.
    data : dict
        X, y and metadata for the callbacks. An entry may be a callable, which is called
        when a callback needs the data.
    n_tasks : int or None
        Number of tasks within the fit; None if it is unknown.
    """

    def __init__(
        self, estimator: Any, data: dict[str, Any], *, n_tasks: int | None
    ) -> None:
        self._estimator = estimator
        self._data = data
        self._context: Any = None
        # The callbacks are set on this estimator or on one that contains it.
        if getattr(estimator, "_skl_callbacks", None):
            self._context = estimator._init_callback_context(max_subtasks=n_tasks)

    @property
    def has_listeners(self) -> bool:
        """True if the fit has callbacks."""
        return self._context is not None

    @contextmanager
    def fit(self) -> Iterator[None]:
        """Call the callbacks at the beginning and the end of the fit."""
        if self._context is None:
            yield
            return
        self._context.call_on_fit_task_begin(estimator=self._estimator, **self._data)
        yield
        self._context.call_on_fit_task_end(
            estimator=self._estimator,
            **self._data,
            reconstruction_attributes=self._fitted,
        )

    def _fitted(self) -> dict[str, Any]:
        attributes = vars(self._estimator).items()
        return {k: v for k, v in attributes if k.endswith("_") and k[0] != "_"}

    def done(
        self, name: str, attributes: dict[str, Any], data: dict[str, Any] | None = None
    ) -> bool:
        """Report to the callbacks that a task within the fit has ended.

        Parameters
        ----------
        name : str
            Name of the task.
        attributes : dict
            The attributes that a model stopped here has.
        data : dict, default=None
            Data of the task; None stands for the data of the fit.

        Returns
        -------
        stop : bool
            True if a callback asks to stop the fit.
        """
        if self._context is None:
            return False
        data = self._data if data is None else data
        context = self._context.subcontext(task_name=name)
        context.call_on_fit_task_begin(estimator=self._estimator, **data)
        return bool(
            context.call_on_fit_task_end(
                estimator=self._estimator,
                **data,
                reconstruction_attributes=attributes,
            )
        )

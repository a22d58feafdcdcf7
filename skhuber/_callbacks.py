"""scikit-learn's callbacks, where it has them (from 1.9 on).

An estimator that derives from `CallbackSupportMixin` takes callbacks by
``set_callbacks``; `with_callbacks` decorates the method that fits. In older versions
both do nothing. `Tasks` tells the callbacks of a fit what is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Takes no callbacks."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "Tasks", "with_callbacks"]


class Tasks:
    """The tasks of one fit, for the callbacks that are set on the estimator.

    Parameters
    ----------
    estimator : estimator
    data : dict
        X, y and metadata, as callbacks get them; callables are called when needed.
    n_tasks : int or None
        How many tasks there will be within the fit; None where nobody knows.
    """

    def __init__(
        self, estimator: Any, data: dict[str, Any], *, n_tasks: int | None
    ) -> None:
        self._estimator = estimator
        self._data = data
        self._context: Any = None
        # Somebody listens: callbacks of this estimator, or of one that contains it.
        if getattr(estimator, "_skl_callbacks", None):
            self._context = estimator._init_callback_context(max_subtasks=n_tasks)

    @property
    def has_listeners(self) -> bool:
        """Whether anybody wants to know."""
        return self._context is not None

    @contextmanager
    def fit(self) -> Iterator[None]:
        """The fit as a whole."""
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
        """A task within the fit has ended, with these attributes of a fitted model.

        Returns
        -------
        stop : bool
            Whether a callback asks to stop here.
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

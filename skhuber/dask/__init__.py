"""Fits to Dask collections: data larger than memory, and clusters.

It needs Dask and distributed, the extra ``dask``: ``pip install '.[dask]'``.
"""

try:
    import dask as _dask  # noqa: F401
    import distributed as _distributed  # noqa: F401
except ImportError as error:
    raise ImportError(
        "skhuber.dask needs Dask and distributed: install skhuber with its extra "
        "`dask` (pip install '.[dask]' in a checkout)."
    ) from error

from skhuber.dask._regressor import DaskHuberRegressor

DaskHuberRegressor.__module__ = __name__

__all__ = ["DaskHuberRegressor"]

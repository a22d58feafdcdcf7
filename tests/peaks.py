"""The memory that a call takes at its peak."""

import tracemalloc


def peak_of(call):
    """Return what a call returns, and the bytes that it takes at its peak.

    Of three calls, the smallest peak: other threads of the process, such as those of
    a Dask client that an earlier test began, may allocate memory during one of them.
    """
    peaks = []
    for _ in range(3):
        tracemalloc.start()
        try:
            result = call()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return result, min(peaks)

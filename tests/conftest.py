"""Settings of the test tools."""

import os

from hypothesis import settings

# Without it (before SciPy is imported) scikit-learn skips one of its checks.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

# The same examples in every run, and no time limit for any of them: what fails
# once fails again, and a busy machine fails nothing.
settings.register_profile("skhuber", deadline=None, derandomize=True)
settings.load_profile("skhuber")

"""Settings of the test tools."""

from hypothesis import settings

# The same examples in every run, and no time limit for any of them: what fails
# once fails again, and a busy machine fails nothing.
settings.register_profile("skhuber", deadline=None, derandomize=True)
settings.load_profile("skhuber")

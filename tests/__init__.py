"""The tests mirror the package.  ``integration`` starts the real thing, against real servers and clients."""

import os

from hypothesis import settings

# A busy machine is no fault of the code: no example has a deadline.  What CI draws, anybody can draw again.
settings.register_profile("tcpsuite", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("tcpsuite")

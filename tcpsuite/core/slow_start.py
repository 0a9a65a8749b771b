"""What share of its weight a server has that has just come back: caches are cold, pools are empty."""

from __future__ import annotations

STEPS = 20
"""In so many steps it comes to its whole weight."""
LEAST = 0.1
"""The share that it begins with: with none at all nobody would find out how it does."""


def share(elapsed: float, window: float) -> float:
    """The share of its weight, ``elapsed`` seconds after it came back: in a straight line up to 1 after
    ``window`` seconds, in :data:`STEPS` steps, and never under :data:`LEAST`.
    """
    if elapsed >= window:
        return 1.0
    return max(LEAST, int(STEPS * elapsed / window) / STEPS)

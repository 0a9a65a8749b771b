"""One event that several wait for."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred


def told(event: Deferred[Any]) -> Deferred[None]:
    """Fires with nothing when ``event`` has fired, or failed, which stays its own matter.

    Whoever asks has their own, which they may cancel.
    """
    waiter: Deferred[None] = Deferred()

    def tell(result: Any) -> Any:
        waiter.callback(None)
        return result

    event.addBoth(tell)
    return waiter

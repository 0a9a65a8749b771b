"""SIGTERM and SIGINT: the first one begins the end, the second one hurries it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def end_on_signals(reactor: Any, hurry: Callable[[], None]) -> None:
    """Once the reactor runs, have the first signal stop it, and each one after that call ``hurry``.

    Twisted's own way would stop the reactor a second time, which is an error.  Nothing is changed when the
    reactor was started without signals.

    :param hurry: called on the reactor thread, while the services are being stopped.
    """
    received = 0

    def end() -> None:
        nonlocal received
        received += 1
        if received == 1:
            reactor.stop()
        else:
            hurry()

    def install() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            # Python's default for SIGTERM means that nobody wanted signals to be handled.
            if signal.getsignal(number) not in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, lambda *_: reactor.callFromThread(end))

    reactor.callWhenRunning(install)

"""Asking a connection that nobody has whether it works, or to forget who had it last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.error import ConnectionClosed
from twisted.logger import Logger

from tcpsuite.core.pooling.settings import SESSION
from tcpsuite.errors import TcpsuiteError
from tcpsuite.net.leases import PooledLease
from tcpsuite.net.shortage import COMPLAINT_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from tcpsuite.core.pooling.settings import PoolSettings
    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import ILease
    from tcpsuite.net.held import Held

    Hook = Callable[[ILease], Any]


class Questions:
    """What one pool asks of its connections while nobody has them.

    :param server: where they lead.
    :param settings: those of the pool.
    :param clock: an ``IReactorTime``.
    :param reset: called with a lease, to have it forget who had it last; for the mode ``session``.
    :param validate: called with a lease, to see whether it works; ``None`` when to ask the kernel will do.
        Each is a yes unless it fails, says ``False``, or takes longer than ``validation_timeout``.
    :param answered: called with a connection, and whether it may be lent; perhaps at once.
    :raises ValueError: when the mode and the hooks do not go together.
    """

    log = Logger()

    def __init__(
        self,
        server: Server,
        settings: PoolSettings,
        clock: Any,
        reset: Hook | None,
        validate: Hook | None,
        answered: Callable[[Held, bool], object],
    ) -> None:
        if settings.mode == SESSION and reset is None:
            raise ValueError(
                "a pool in the mode session needs a reset: the next taker is to meet nothing of the last one"
            )
        if settings.mode != SESSION and reset is not None:
            raise ValueError(f"a pool in the mode {settings.mode} resets nothing: reset goes with session")
        if not settings.reuses and validate is not None:
            raise ValueError(f"a pool in the mode {settings.mode} lends nothing again, and validates nothing")
        self._server = server
        self._timeout = settings.validation_timeout
        self._clock = clock
        self._reset = reset
        self._validate = validate
        self._answered = answered
        self._silent_until: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Questions to {self._server.name}>"

    def validate(self, held: Held) -> None:
        """See whether a connection works."""
        self._ask(held, "validates", self._validate)

    def reset(self, held: Held) -> None:
        """Clean a connection for its next taker."""
        self._ask(held, "resets", self._reset)

    def _ask(self, held: Held, what: str, hook: Hook | None) -> None:
        fit = held.fit()
        if hook is None or not fit:
            self._answered(held, fit)
            return

        def over(fine: bool) -> None:
            held.asked = None
            lease.revoke()
            self._answered(held, fine and held.fit())

        held.lease = lease = PooledLease(self._server, held, "the pool", self._clock.seconds())
        held.asked = self._answer(what, hook, lease)
        held.asked.addCallback(over)

    def _answer(self, what: str, hook: Hook, lease: ILease) -> Deferred[bool]:
        """Call ``hook`` with the lease; wait for its Deferred or coroutine, until its silence is an answer.

        The result never fails.  To cancel it makes it a no at once, whatever the hook thinks of that: one
        that goes on when it is told to end would keep the connection, and its room, for ever.
        """
        asked: Deferred[Any] = maybeDeferred(hook, lease)
        answer: Deferred[bool] = Deferred(lambda answer: answer.callback(False))

        def say(fine: bool) -> None:
            if not answer.called:
                answer.callback(fine)

        def failed(failure: Failure) -> None:
            # What no server can bring about is a fault of the hook, and would look like a server's for ever.
            if not failure.check(TcpsuiteError, ConnectionClosed, CancelledError, TimedOut):
                self._complain(what, failure)
            say(False)

        def over(fine: bool) -> bool:
            asked.cancel()
            return fine

        answer.addTimeout(self._timeout, self._clock)
        answer.addCallback(over)
        asked.addCallbacks(lambda said: say(said is not False), failed)
        return answer

    def _complain(self, what: str, failure: Failure) -> None:
        """A hook is broken: say so, but not at each of the connections that it meets."""
        now = self._clock.seconds()
        if now >= self._silent_until.get(what, now):
            self._silent_until[what] = now + COMPLAINT_INTERVAL
            self.log.failure(
                "what {what} connections to {server} is broken", failure, what=what, server=self._server.name
            )

"""Asking a connection that nobody has: to get ready, whether it works, to forget who had it last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.error import ConnectionClosed
from twisted.logger import Logger

from tcpsuite.core.pooling.settings import SESSION
from tcpsuite.errors import ConnectFailed, TcpsuiteError
from tcpsuite.net.endpoints import failure_text, lost_before
from tcpsuite.net.leases import PooledLease
from tcpsuite.net.seldom import Seldom

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from tcpsuite.core.pooling.settings import PoolSettings
    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import ILease
    from tcpsuite.net.held import Held

    Hook = Callable[[ILease], Any]


class NotPrepared(ConnectFailed):
    """A connection was made, but not ready."""


@frozen
class Hooks:
    """What asks the connections of a pool: each is called with a lease that nobody else has.

    It is a yes when the call returns, or the Deferred or coroutine that it gives is done; a no when it fails,
    gives ``False``, or takes too long.
    """

    prepare: Hook | None = None
    """Makes a new connection ready: a greeting, a login."""
    reset: Hook | None = None
    """Has a connection forget who had it last; in the mode ``session``, which has to have it."""
    validate: Hook | None = None
    """Sees whether a connection works; without it the kernel is asked."""

    def verify(self, settings: PoolSettings) -> Hooks:
        """These very hooks, if they go with such a pool.

        :raises ValueError: when they do not.
        """
        mode = settings.mode
        if mode == SESSION and self.reset is None:
            raise ValueError(
                "a pool in the mode session needs a reset: the next taker is to meet nothing of the last one"
            )
        if mode != SESSION and self.reset is not None:
            raise ValueError(f"a pool in the mode {mode} resets nothing: reset goes with session")
        for name, hook in (("prepare", self.prepare), ("validate", self.validate)):
            if hook is not None and not settings.reuses:
                raise ValueError(
                    f"a pool in the mode {mode} lends nothing again: {name} goes with session and message"
                )
        return self


class Questions:
    """What one pool asks of its connections while nobody has them.

    :param server: where they lead.
    :param settings: those of the pool.
    :param clock: an ``IReactorTime``.
    :param hooks: what asks.
    :param answered: called with a connection, and whether it may be lent; perhaps at once.
    :raises ValueError: when the mode and the hooks do not go together.
    """

    log = Logger()

    def __init__(
        self,
        server: Server,
        settings: PoolSettings,
        clock: Any,
        hooks: Hooks,
        answered: Callable[[Held, bool], object],
    ) -> None:
        self._server = server
        self._timeout = settings.validation_timeout
        self._clock = clock
        self._hooks = hooks.verify(settings)
        self._answered = answered
        self._seldom = Seldom(clock)

    def __repr__(self) -> str:
        return f"<Questions to {self._server.name}>"

    def prepare(self, held: Held) -> Deferred[None] | None:
        """Make a new connection ready for its first taker; ``None`` when there is nothing to be done.

        :return: fires when it is.  Fails with :class:`NotPrepared` when it is not to be had so, and is reset;
            to cancel it ends in the same way.  Somebody else keeps its time.
        """
        if self._hooks.prepare is None or held.gone:
            return None
        lease = self._lease(held)

        def over(why: str) -> None:
            held.asked = None
            lease.revoke()
            if not why and not held.fit():
                why = "something was left on it, or is under way"
            if why:
                held.cut()
                raise NotPrepared(f"it could not be prepared: {why}")
            held.take_back()
            lease.end(self._clock.seconds())

        held.asked = self._answer("prepares", self._hooks.prepare, held, lease)
        return held.asked.addCallback(over)

    def validate(self, held: Held) -> None:
        """See whether a connection works."""
        self._ask(held, "validates", self._hooks.validate)

    def reset(self, held: Held) -> None:
        """Clean a connection for its next taker."""
        self._ask(held, "resets", self._hooks.reset)

    def _ask(self, held: Held, what: str, hook: Hook | None) -> None:
        fit = held.fit()
        if hook is None or not fit:
            self._answered(held, fit)
            return

        def over(why: str) -> None:
            held.asked = None
            lease.revoke()
            self._answered(held, not why and held.fit())

        lease = self._lease(held)
        held.asked = self._answer(what, hook, held, lease)
        held.asked.addTimeout(self._timeout, self._clock)
        held.asked.addCallback(over)

    def _lease(self, held: Held) -> PooledLease:
        lease = held.lease = PooledLease(self._server, held, "the pool", self._clock.seconds())
        return lease

    def _answer(self, what: str, hook: Hook, held: Held, lease: ILease) -> Deferred[str]:
        """Call ``hook`` with the lease of a connection; wait for its Deferred or coroutine.

        :return: fires with why it is a no, in words; empty for a yes.  It never fails.  To cancel it makes it
            a no at once, whatever the hook thinks of that: one that goes on when it is told to end would keep
            the connection, and its room, for ever.
        """
        asked: Deferred[Any] = maybeDeferred(hook, lease)

        def end(answer: Deferred[str]) -> None:
            answer.callback("the connection was lost" if held.gone else "it was given up")

        def over(why: str) -> str:
            asked.cancel()
            return why

        answer = Deferred(end).addCallback(over)

        def say(why: str) -> None:
            if not answer.called:
                answer.callback(why)

        def failed(failure: Failure) -> None:
            # What no server can bring about is a fault of the hook, and would look like a server's for ever.
            if not failure.check(TcpsuiteError, ConnectionClosed, CancelledError, TimedOut):
                self._complain(what, failure)
            say(failure_text(lost_before("that was done", failure)))

        asked.addCallbacks(lambda said: say("the hook said no" if said is False else ""), failed)
        if held.gone:
            answer.cancel()  # it was lost inside the call: nobody could tell yet that it is asked
        return answer

    def _complain(self, what: str, failure: Failure) -> None:
        """A hook is broken: say so, but not at each of the connections that it meets."""
        if self._seldom.says(what):
            self.log.failure(
                "what {what} connections to {server} is broken", failure, what=what, server=self._server.name
            )

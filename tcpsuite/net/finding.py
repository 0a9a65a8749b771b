"""Finds a server for a client: picks one, connects to it, tries another, waits.

What becomes of an attempt is counted here, and told to the balancer and to the members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from tcpsuite.core.choosing import Why, candidates, why_not
from tcpsuite.core.queueing import WhyHeld
from tcpsuite.errors import Closed, ConnectFailed, NoServer, OutOfResources, PoolExhausted, RemoteError
from tcpsuite.interfaces import Outcome
from tcpsuite.net.seldom import Seldom
from tcpsuite.net.shortage import Complaints
from tcpsuite.net.waiting import WaitingRoom

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from tcpsuite.core.picks import Basis
    from tcpsuite.core.queueing import Queue, Waiting
    from tcpsuite.core.retrying import RetryBudget
    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import ILease
    from tcpsuite.net.members import Members
    from tcpsuite.net.search import Patience, Search

MOMENT = 0.001
"""Seconds that somebody waits at least who has but to wait for a turn of the same call."""

TURN_AROUND = 1.0
"""Seconds, or up to half as many more, until a client that is held tries servers again that failed it."""


class Finder:
    """Searches among the servers of one upstream.

    It alone counts ``connections``, ``failures`` and ``resets`` of them.

    :param upstream: its name, for people.
    :param members: the servers.
    :param clock: an ``IReactorTime``.
    :param patience: how long clients wait, and how often they are retried.
    :param budget: bounds how many are retried at once.
    :param queue: where clients wait.
    :param chance: spreads those who try again.
    :ivar room: those who wait.
    """

    log = Logger()

    def __init__(
        self,
        upstream: str,
        members: Members,
        clock: Any,
        patience: Patience,
        budget: RetryBudget,
        queue: Queue | None,
        chance: Random,
    ) -> None:
        self.patience = patience
        self.room = WaitingRoom(
            clock,
            self._could_go,
            lambda waiting: self.patience.late(waiting.why, upstream, members.nobody),
            queue,
            lambda: any(why_not(server) is None for server in members.servers),
        )
        self._upstream = upstream
        self._members = members
        self._clock = clock
        self._budget = budget
        self._chance = chance
        self._complaints = Complaints(upstream, clock)
        self._seldom = Seldom(clock)
        self._closed = False
        # Those whose last fault was that they could not be connected to.
        self._refusing: set[Server] = set()
        members.listen(self.room.serve)

    def __repr__(self) -> str:
        return f"<Finder of {self._upstream} {self.room!r}>"

    def find(self, search: Search) -> Deferred[ILease]:
        """Begin a search; see :meth:`tcpsuite.net.upstream.Upstream.acquire`."""
        if not self.room.goes_first or self._closed:
            return self._next(search)
        if self.room.queue.held_back:
            return self._hold(search, WhyHeld.PAUSED)
        # It is about to be served behind those who are being called: even who may not wait is not late.
        return self._hold(search, WhyHeld.FULL, max(MOMENT, self.patience.queue_timeout))

    def turn_away(self) -> None:
        """Those who wait fail with :class:`~tcpsuite.errors.Closed`."""
        self.room.close(self._closed_error)

    def close(self) -> None:
        """Search no more; those who wait fail with :class:`~tcpsuite.errors.Closed`."""
        self._closed = True
        self.turn_away()

    def would_wait(self) -> WhyHeld | None:
        """Why a client that came now would have to wait, if it would."""
        if self.room.queue.held_back:
            return WhyHeld.PAUSED
        if self._members.usable:
            return None
        if any(why_not(server) is Why.FULL for server in self._members.servers):
            return WhyHeld.FULL if self.patience.queue_timeout else None
        return WhyHeld.NONE_UP if self.patience.hold_timeout else None

    @property
    def nobody_more(self) -> str:
        """Why nobody more may wait, in words; empty when somebody may."""
        return "" if len(self.room.queue) < self.room.queue.most else self._crowd

    @property
    def _crowd(self) -> str:
        return f"{len(self.room.queue)} clients wait for upstream {self._upstream} already"

    def tell(self, what: Callable[..., None], *arguments: Any) -> None:
        """Tell a balancer; what goes wrong there must not touch our counts, nor lose a connection."""
        try:
            what(*arguments)
        except Exception:
            if self._seldom.says("tell"):
                self.log.failure("the balancer of {upstream} is broken", upstream=self._upstream)

    def _basis(self, search: Search, servers: Sequence[Server]) -> Basis | None:
        """What the balancer went by that has just picked one of ``servers``, if somebody may ask for it."""
        if search.rule.reasoner is None or search.record is None:
            return None
        try:
            return search.rule.reasoner.because(servers, search.client)
        except Exception:  # one of somebody's own: the client shall not suffer for it
            if self._seldom.says("because"):
                self.log.failure("{balancer} cannot say why it picked", balancer=search.rule.reasoner)
            return None

    def _closed_error(self) -> Exception:
        return Closed(f"upstream {self._upstream} was closed")

    def _next(self, search: Search) -> Deferred[ILease]:
        """Try the next server, if there is one and time for it; else wait, or give up."""
        now = self._clock.seconds()
        tried = search.tried
        try:
            if self._closed:
                self._settle(search)
                return fail(self._closed_error())
            if tried and self._is_over(search, now):
                return self._hold_or_refuse(search, now)
            usable = candidates(self._members.servers, tried) if tried else self._members.usable
            if not usable:
                return self._without(search, now)
            if tried and not self._may_retry(search):
                return self._hold(search, WhyHeld.RETRIES)
            server = search.rule.picker.pick(usable, search.client, now)
            if server is None:
                return self._give_up(search, f"the balancer of {self._upstream} refused")
            choice = self._members.choice_without(tried, usable) if tried else self._members.choice
            search.picked(server, choice, self._basis(search, usable))
            if search.affinity is not None:
                search.key = search.affinity.led(server.name, choice, now)
            if search.deadline is None:
                search.deadline = now + self.patience.connect_budget
            timeout = min(search.deadline - now, self.patience.acquire_timeout)
            return self._attempt(server, search, now, timeout)
        except Exception:
            self._settle(search)
            return fail()

    def _is_over(self, search: Search, now: float) -> bool:
        """Whether no other server is to be tried behind those that have failed."""
        assert search.deadline is not None, "it has tried one"
        return len(search.tried) > self.patience.retries or now >= search.deadline

    def _may_retry(self, search: Search) -> bool:
        if not search.retrying:
            search.retrying = self._budget.begin(self._active)
        return search.retrying

    @property
    def _active(self) -> int:
        return sum(server.active for server in self._members.servers)

    def _give_up(self, search: Search, why: str = "") -> Deferred[ILease]:
        self._settle(search)
        return fail(search.failure(why or self._members.nobody))

    def _settle(self, search: Search) -> None:
        """It is over: it takes no part of the retry budget any more."""
        if search.retrying:
            search.retrying = False
            self._budget.end()
            self.room.serve()

    def _attempt(self, server: Server, search: Search, begun: float, timeout: float) -> Deferred[ILease]:
        self._members.begun(server)
        if search.rule.learner is not None:
            self.tell(search.rule.learner.started, server, begun)
        try:
            acquired = self._members.pools[server.name].acquire(timeout, search.holder)
        except Exception:
            acquired = fail()
        return acquired.addCallbacks(
            self._made,
            self._failed,
            callbackArgs=(server, search, begun),
            errbackArgs=(server, search, begun),
        )

    def _made(self, lease: ILease, server: Server, search: Search, begun: float) -> ILease:
        if search.retrying:
            self._settle(search)
        seconds = self._clock.seconds() - begun
        if search.affinity is not None:
            search.affinity.table.enter(search.key)
        server.connections += 1
        server.connect_seconds += seconds
        if server in self._refusing:
            self._refusing.discard(server)
            self._members.judge(server, True)
        if search.record is not None:
            search.record.server = server.name
            self._members.joined(server, search.record)
        self._tried(server, search, Outcome(True, seconds=seconds))
        lease.ended().addCallback(self._finished, server, search)
        return lease

    def _failed(
        self, failure: Failure, server: Server, search: Search, begun: float
    ) -> Failure | Deferred[ILease]:
        error = failure.value
        seconds = self._clock.seconds() - begun
        why = "the client left" if isinstance(error, CancelledError) else str(error)
        if isinstance(error, Closed) and not self._closed:
            # It was removed, or its connections were cut.
            why = str(error) if server in self._members.servers else "it was removed"
            return self._spare(server, search, ConnectFailed(why), seconds)
        if isinstance(error, PoolExhausted):
            return self._spare(server, search, error, seconds)
        if isinstance(error, RemoteError):
            server.failures += 1
            server.last_error = why
            search.tried[server] = error
            self._refusing.intersection_update(self._members.servers)  # who was removed is forgotten
            self._refusing.add(server)
            self._members.ended(server)
            self._tried(server, search, Outcome(False, why, seconds))
            self._members.judge(server, False, why)
            return self._next(search)
        # Nobody's fault out there: the client left, we are closing, or have no descriptor left.
        self._settle(search)
        if isinstance(error, OutOfResources):
            self._complaints.complain(str(error))
        self._forgo(server, search, why, seconds)
        return failure

    def _spare(self, server: Server, search: Search, error: RemoteError, seconds: float) -> Deferred[ILease]:
        """There is no connection to be had of it now: others are tried, and it is not blamed."""
        search.tried[server] = error
        self._forgo(server, search, str(error), seconds)
        return self._next(search)

    def _forgo(self, server: Server, search: Search, why: str, seconds: float) -> None:
        """No connection came of it, by no fault of the server."""
        search.attempted(server, why, seconds)
        self._members.ended(server)
        if search.rule.learner is not None:
            outcome = Outcome(True, seconds=seconds)
            self.tell(search.rule.learner.finished, server, outcome, self._clock.seconds())

    def _tried(self, server: Server, search: Search, outcome: Outcome) -> None:
        search.attempted(server, outcome.error, outcome.seconds)
        self._members.note(server, outcome)
        if search.rule.learner is not None:
            self.tell(search.rule.learner.connected, server, outcome, self._clock.seconds())

    def _finished(self, outcome: Outcome, server: Server, search: Search) -> None:
        if search.affinity is not None:
            search.affinity.table.leave(search.key, self._clock.seconds())
        if search.record is not None:
            self._members.left(server, search.record)
            fault = search.record.server_fault
            if fault or (fault is not None and not outcome.ok):
                # Who relayed it has seen more than the pool, which knows but how it ended.
                outcome = Outcome(not fault, fault, outcome.seconds)
        if not outcome.ok:
            server.resets += 1
            server.last_error = outcome.error
            self._members.note(server, outcome)
        self._members.ended(server)
        if search.rule.learner is not None:
            self.tell(search.rule.learner.finished, server, outcome, self._clock.seconds())
        if outcome.ok:
            self._members.judge(server, True)
        else:
            self._members.suspect(server, outcome.error)

    def _without(self, search: Search, now: float) -> Deferred[ILease]:
        """There is no server for it now: wait for one, if that is any use."""
        if any(why_not(server) is Why.FULL for server in self._members.servers if server not in search.tried):
            return self._hold(search, WhyHeld.FULL)
        return self._hold_or_refuse(search, now)

    def _hold_or_refuse(self, search: Search, now: float) -> Deferred[ILease]:
        """None is up, or those that are have failed it: wait until one comes up, and try those again."""
        if self.patience.hold_timeout:
            if search.held_until is None:
                search.held_until = now + self.patience.hold_timeout
            left = search.held_until - now
            if left > 0 or not search.tried:
                # Those that came together are not to come back together.
                rest = TURN_AROUND * (1 + self._chance.random() / 2)
                again = now + min(left, rest) if search.tried else None
                return self._hold(search, WhyHeld.NONE_UP, left, again)
        self._note_none(search)
        return self._give_up(search)

    def _note_none(self, search: Search) -> None:
        """Keep why each server was left out, behind what was tried: no attempt goes with it."""
        members = self._members
        search.found_none(members.choice_without(search.tried, ()) if search.tried else members.choice)

    def _hold(
        self, search: Search, why: WhyHeld, limit: float | None = None, again: float | None = None
    ) -> Deferred[ILease]:
        self._settle(search)
        since = self._clock.seconds()
        full = PoolExhausted(self._crowd)

        def waited(result: Any) -> Any:
            search.waited(why, self._clock.seconds() - since)
            if isinstance(result, Failure):
                if why is not WhyHeld.PAUSED:
                    self._note_none(search)
                if search.tried and result.check(NoServer, PoolExhausted):
                    # What has failed it tells more than for how long it waited then.
                    return Failure(search.failure(self._members.nobody))
            elif again is not None:
                search.tried.clear()
                search.deadline = None
            return result

        if limit is None:
            limit = self.patience.limit(why)
        turn = self.room.hold(search, why, limit, full, again).addBoth(waited)
        return self._go_on(search, turn.addCallback(lambda _: self._next(search)))

    def _go_on(self, search: Search, step: Deferred[Any]) -> Deferred[Any]:
        """Have what comes of ``step`` be the answer.

        Who waits for long is held again and again: were each step the result of the one before, they would be
        a chain without end, and who leaves would go down all of it.
        """
        search.step = step
        first, answer = search.answer is None, search.answer or Deferred(lambda _: search.give_up())
        search.answer = answer

        def came(lease: ILease | None) -> None:
            if lease is not None:  # else another step has begun
                answer.callback(lease)

        step.addCallbacks(came, answer.errback)
        return answer if first else succeed(None)

    def _could_go(self, search: Search, waiting: Waiting) -> bool:
        if waiting.again is not None:
            return waiting.again <= self._clock.seconds() and bool(self._members.usable)
        if waiting.why is WhyHeld.RETRIES and not self._budget.has_room(self._active):
            return False
        return bool(candidates(self._members.servers, search.tried) if search.tried else self._members.usable)

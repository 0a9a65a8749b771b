"""An upstream: several servers, and the next one for each client."""

from __future__ import annotations

from random import SystemRandom
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from tcpsuite.core.balancing import STRATEGIES
from tcpsuite.core.choosing import Why, candidates, why_not
from tcpsuite.core.queueing import Held
from tcpsuite.core.retrying import RetryBudget
from tcpsuite.errors import Closed, OutOfResources, PoolExhausted, RemoteError
from tcpsuite.interfaces import ITimed, Outcome
from tcpsuite.net.operating import Change, Operator
from tcpsuite.net.search import Patience, Search
from tcpsuite.net.shortage import Complaints
from tcpsuite.net.waiting import WaitingRoom
from tcpsuite.net.whatif import whatif

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from tcpsuite.core.connections import Connection
    from tcpsuite.core.queueing import Queue
    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import IConnectionPool, ILease, ILoadBalancer
    from tcpsuite.net.members import Members
    from tcpsuite.net.whatif import Whatif


class Upstream:
    """Finds a server for each client, and keeps count of what became of it.

    It alone counts ``active``, ``connections``, ``failures`` and ``resets`` of its servers.

    :param name: the user's name for it.
    :param members: its servers.
    :param balancer: picks one of those that may be used.
    :param clock: an ``IReactorTime``.
    :param strategy: the balancer's name, for people.
    :param patience: how long clients wait, and how often they are retried.
    :param budget: bounds how many are retried at once.
    :param queue: where clients wait.
    :param operator: changes the servers; by default one that can add none.
    :param chance: for the balancers that :meth:`execute` names; by default the system's.
    :ivar times_answers: whether :meth:`answered` is to be told.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        members: Members,
        balancer: ILoadBalancer,
        clock: Any,
        *,
        strategy: str = "",
        patience: Patience | None = None,
        budget: RetryBudget | None = None,
        queue: Queue | None = None,
        operator: Operator | None = None,
        chance: Random | None = None,
    ) -> None:
        self.name = name
        self.members = members
        self.balancer = balancer
        self.strategy = strategy
        self.operator = operator or Operator(members)
        self._clock = clock
        self._patience = patience or Patience()
        self._budget = budget or RetryBudget()
        self._room = WaitingRoom(
            clock,
            self._could_go,
            lambda waiting: self._patience.late(waiting.why, name, members.nobody),
            queue,
            lambda: any(why_not(server) is None for server in members.servers),
        )
        self._chance = chance or SystemRandom()
        self._balancers: dict[str, ILoadBalancer] = {}
        self._complaints = Complaints(name, clock)
        self._configured_patience = self._patience
        self._closed = False
        self.times_answers = ITimed.providedBy(balancer)
        # Those whose last fault was that they could not be connected to.
        self._refusing: set[Server] = set()
        members.changed = self._room.serve

    def __repr__(self) -> str:
        up = sum(server.up for server in self.servers)
        active = sum(server.active for server in self.servers)
        return f"<Upstream {self.name} up={up} of {len(self.servers)} active={active}>"

    @property
    def servers(self) -> Sequence[Server]:
        """All of them, in the order of the configuration."""
        return self.members.servers

    @property
    def pools(self) -> Mapping[str, IConnectionPool]:
        """By the server's name."""
        return self.members.pools

    @property
    def ready(self) -> bool:
        """Whether some server takes new connections, or would if it had room."""
        return any(why_not(server) in (None, Why.FULL) for server in self.servers)

    @property
    def paused(self) -> bool:
        """Whether clients are held back."""
        return self._room.queue.paused

    def start(self) -> None:
        """Begin health checks, and warm connections if there are to be any."""
        self.members.start()

    async def stop(self, deadline: float = 0.0) -> None:
        """End health checks, take no new clients, turn away those who wait; connections have ``deadline``
        seconds to end.  Done when none is left.
        """
        self._closed = True
        self._room.close(lambda: Closed(f"upstream {self.name} was closed"))
        await self.members.stop(deadline)

    def cut(self) -> None:
        """Reset every connection that somebody has; a stop under way is over with that."""
        for pool in self.pools.values():
            pool.cut()

    def acquire(
        self,
        client: str = "",
        connection: Connection | None = None,
        balancer: ILoadBalancer | None = None,
        holder: str = "",
    ) -> Deferred[ILease]:
        """A connection to one of the servers.

        :param client: the client's IP address; empty for a UNIX peer.
        :param connection: the client's record: every attempt, and the server at last, are noted there.
        :param balancer: picks the server instead of the upstream's own.
        :param holder: who it is, for a warning when the lease is held for long; by default the record's id.
        :return: fires with the lease.  Fails with :class:`~tcpsuite.errors.ConnectFailed` when servers were
            tried in vain, :class:`~tcpsuite.errors.NoServer` when there was none to try,
            :class:`~tcpsuite.errors.PoolExhausted` when it waited in vain for room or for the end of a pause,
            :class:`~tcpsuite.errors.OutOfResources` or :class:`~tcpsuite.errors.Closed`.  Cancelling it
            gives the attempt up.
        """
        search = Search(client, connection, balancer or self.balancer, holder)
        if connection is not None:
            connection.upstream = self.name
            search.holder = holder or connection.id
        if self._room.goes_first and not self._closed:
            return self._hold(search, Held.PAUSED if self._room.queue.held_back else Held.FULL)
        return self._next(search)

    def execute(
        self,
        fn: Callable[[ILease], Any],
        strategy: str | ILoadBalancer | None = None,
        client: str = "",
    ) -> Deferred[Any]:
        """Acquire, call ``fn`` with the lease, wait for its Deferred or coroutine, release whatever happened.

        :param strategy: the name of a built-in strategy, or a balancer, to pick the server by.
        :return: fires with what ``fn`` gave, or fails as it or :meth:`acquire` failed.
        """
        balancer = self._named(strategy) if isinstance(strategy, str) else strategy

        async def acquired() -> Any:
            lease = await self.acquire(client, None, balancer, getattr(fn, "__qualname__", repr(fn)))
            pool = self.pools[lease.server.name]
            reusable = False
            try:
                result = await maybeDeferred(fn, lease)
                reusable = True
            finally:
                pool.release(lease, reusable)
            return result

        return Deferred.fromCoroutine(acquired())

    def answered(self, server: Server, seconds: float) -> None:
        """The first byte of ``server`` came so long after the connection to it was made, or after the first
        byte of the client went there.
        """
        self._tell(ITimed(self.balancer).answered, server, seconds, self._clock.seconds())

    def whatif(self, client: str = "") -> Whatif:
        """Who would be picked for ``client``, without a connection and without a change to any balancer."""
        shared: tuple[Any, ...] = (self._clock,)
        if isinstance(self._chance, SystemRandom):  # it has no state
            shared += (self._chance,)
        told = whatif(self.members, self.balancer, client, self._clock.seconds(), shared)
        return evolve(told, reason="the upstream is paused") if self.paused else told

    def pause(self, limit: float | None = None) -> None:
        """Hold every new client back until :meth:`resume`, each for ``limit`` seconds at most (by default as
        configured).  Connections that there are go on.
        """
        usual = self._configured_patience.pause_timeout
        self._patience = evolve(self._patience, pause_timeout=usual if limit is None else limit)
        self._room.pause()

    def resume(self, rate: float = 0.0) -> None:
        """Serve those who were held back, ``rate`` of them a second; 0: all at once."""
        self._room.resume(rate)

    def changes(self) -> list[Change]:
        """What an operator has changed, and how it was configured."""
        paused = [Change("", "paused", False, True)] if self.paused else []
        return paused + self.operator.changes()

    def status(self) -> dict[str, Any]:
        """What there is to know now, as plain data."""
        return {
            "name": self.name,
            "strategy": self.strategy,
            "ready": self.ready,
            "paused": self.paused,
            "queue": self._room.queue.stats(self._clock.seconds()),
            "retries": self._budget.stats(),
            "servers": [
                self.members.status(server) | self.operator.status(server) for server in self.servers
            ],
        }

    def health(self) -> dict[str, dict[str, Any]]:
        """What is known of the health of each server, by its name; see :meth:`HealthChecker.report`.  Empty
        when nothing watches them.
        """
        return {} if self.members.checker is None else self.members.checker.report()

    def _named(self, strategy: str) -> ILoadBalancer:
        if strategy not in self._balancers:
            self._balancers[strategy] = STRATEGIES[strategy](self._chance)
        return self._balancers[strategy]

    def _next(self, search: Search) -> Deferred[ILease]:
        """Try the next server, if there is one and time for it; else wait, or give up."""
        now = self._clock.seconds()
        tried = search.tried
        try:
            if self._closed:
                self._settle(search)
                return fail(Closed(f"upstream {self.name} was closed"))
            if tried and not self._may_retry(search, now):
                return self._give_up(search)
            usable = candidates(self.servers, tried) if tried else self.members.usable
            if not usable:
                return self._without(search)
            server = search.balancer.pick(usable, search.client, now)
            if server is None:
                return self._give_up(search, f"the balancer of {self.name} refused")
            search.chose(self.members.choice_without(tried, usable) if tried else self.members.choice)
            if search.deadline is None:
                search.deadline = now + self._patience.connect_budget
            timeout = min(search.deadline - now, self._patience.acquire_timeout)
            return self._attempt(server, search, now, timeout)
        except Exception:
            self._settle(search)
            return fail()

    def _may_retry(self, search: Search, now: float) -> bool:
        assert search.deadline is not None, "it has tried one"
        if len(search.tried) > self._patience.retries or now >= search.deadline:
            return False
        if not search.retrying:
            search.retrying = self._budget.begin(sum(server.active for server in self.servers))
        return search.retrying

    def _give_up(self, search: Search, why: str = "") -> Deferred[ILease]:
        self._settle(search)
        return fail(search.failure(why or self.members.nobody))

    def _settle(self, search: Search) -> None:
        """It is over: it takes no part of the retry budget any more."""
        if search.retrying:
            search.retrying = False
            self._budget.end()

    def _attempt(self, server: Server, search: Search, begun: float, timeout: float) -> Deferred[ILease]:
        self.members.begun(server)
        self._tell(search.balancer.started, server, begun)
        try:
            acquired = self.pools[server.name].acquire(timeout, search.holder)
        except Exception:
            acquired = fail()
        return acquired.addCallbacks(
            self._made,
            self._failed,
            callbackArgs=(server, search, begun),
            errbackArgs=(server, search, begun),
        )

    def _made(self, lease: ILease, server: Server, search: Search, begun: float) -> ILease:
        self._settle(search)
        seconds = self._clock.seconds() - begun
        server.connections += 1
        server.connect_seconds += seconds
        if server in self._refusing:
            self._refusing.discard(server)
            self.members.judge(server, True)
        if search.record is not None:
            search.record.server = server.name
            self.members.joined(server, search.record)
        self._tried(server, search, Outcome(True, seconds=seconds))
        lease.ended().addCallback(self._finished, server, search)
        return lease

    def _failed(
        self, failure: Failure, server: Server, search: Search, begun: float
    ) -> Failure | Deferred[ILease]:
        error = failure.value
        seconds = self._clock.seconds() - begun
        why = "the client left" if isinstance(error, CancelledError) else str(error)
        removed = isinstance(error, Closed) and server not in self.servers
        if removed or isinstance(error, PoolExhausted):
            # It is no server any more, or all its connections are lent: others are tried, and none is blamed.
            search.tried[server] = why = "it was removed" if removed else why
            self._forgo(server, search, why, seconds)
            return self._next(search)
        if isinstance(error, RemoteError):
            server.failures += 1
            server.last_error = search.tried[server] = why
            self._refusing.add(server)
            self.members.ended(server)
            self._tried(server, search, Outcome(False, why, seconds))
            self.members.judge(server, False, why)
            return self._next(search)
        # Nobody's fault out there: the client left, we are closing, or have no descriptor left.
        self._settle(search)
        if isinstance(error, OutOfResources):
            self._complaints.complain(str(error))
        self._forgo(server, search, why, seconds)
        return failure

    def _forgo(self, server: Server, search: Search, why: str, seconds: float) -> None:
        """No connection came of it, by no fault of the server."""
        search.attempted(server, why, seconds)
        self.members.ended(server)
        self._tell(search.balancer.finished, server, Outcome(True, seconds=seconds), self._clock.seconds())

    def _tried(self, server: Server, search: Search, outcome: Outcome) -> None:
        search.attempted(server, outcome.error, outcome.seconds)
        self.members.note(server, outcome)
        self._tell(search.balancer.connected, server, outcome, self._clock.seconds())

    def _finished(self, outcome: Outcome, server: Server, search: Search) -> None:
        if search.record is not None:
            self.members.left(server, search.record)
        if not outcome.ok:
            server.resets += 1
            self.members.note(server, outcome)
        self.members.ended(server)
        self._tell(search.balancer.finished, server, outcome, self._clock.seconds())
        self.members.judge(server, outcome.ok, outcome.error)

    def _tell(self, what: Callable[..., None], *arguments: Any) -> None:
        """Tell the balancer; what goes wrong there must not touch our counts, nor lose a connection."""
        try:
            what(*arguments)
        except Exception:
            self.log.failure("the balancer of {upstream} is broken", upstream=self.name)

    def _without(self, search: Search) -> Deferred[ILease]:
        """There is no server for it now: wait for one, if that is any use."""
        if any(why_not(server) is Why.FULL for server in self.servers if server not in search.tried):
            return self._hold(search, Held.FULL)
        if self._patience.hold_timeout and not search.tried:
            return self._hold(search, Held.NONE_UP)
        self._note_none(search)
        return self._give_up(search)

    def _note_none(self, search: Search) -> None:
        """Keep why each server was left out, behind what was tried: no attempt goes with it."""
        search.chose(self.members.choice_without(search.tried, ()) if search.tried else self.members.choice)

    def _hold(self, search: Search, why: Held) -> Deferred[ILease]:
        self._settle(search)
        since = self._clock.seconds()
        full = PoolExhausted(f"{len(self._room.queue)} clients wait for upstream {self.name} already")

        def waited(result: Any) -> Any:
            search.waited(why, self._clock.seconds() - since)
            if isinstance(result, Failure):
                self._note_none(search)
            return result

        turn = self._room.hold(search, why, self._patience.limit(why), full)
        return turn.addBoth(waited).addCallback(lambda _: self._next(search))

    def _could_go(self, search: Search) -> bool:
        return bool(candidates(self.servers, search.tried) if search.tried else self.members.usable)

"""An upstream: several servers, and the next one for each client."""

from __future__ import annotations

from random import SystemRandom
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.internet.defer import Deferred

from tcpsuite.core.affinity import Affinity, StickTable
from tcpsuite.core.balancing import STRATEGIES
from tcpsuite.core.choosing import Why, why_not
from tcpsuite.core.picks import Pick
from tcpsuite.core.retrying import RetryBudget
from tcpsuite.errors import ChangeRefused
from tcpsuite.net.finding import Finder
from tcpsuite.net.leases import lend
from tcpsuite.net.operating import Change, Operator
from tcpsuite.net.rule import Rule
from tcpsuite.net.search import Patience, Search
from tcpsuite.net.whatif import Whatif, whatif

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from tcpsuite.core.connections import Connection
    from tcpsuite.core.queueing import Queue
    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import IConnectionPool, ILease, ILoadBalancer
    from tcpsuite.net.members import Members


class Upstream:
    """Finds a server for each client, and shows and changes what there is to choose from.

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
    :param stick_table: where it is remembered which server each client had, to be led there again; without
        it nobody is.
    :ivar affinity: asked before the balancer, if there is a table.
    :ivar times_answers: whether :meth:`answered` is to be told.
    """

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
        stick_table: StickTable | None = None,
    ) -> None:
        self.name = name
        self.members = members
        self.balancer = balancer
        self.strategy = strategy
        self.operator = operator or Operator(members)
        self._clock = clock
        self._patience = patience or Patience()
        self._budget = budget or RetryBudget()
        self._chance = chance or SystemRandom()
        self._finder = Finder(name, members, clock, self._patience, self._budget, queue, self._chance)
        self.affinity = None if stick_table is None else Affinity(stick_table, balancer)
        self._rule = Rule(balancer, strategy, self.affinity)
        self._named: dict[str, Rule] = {}
        self.times_answers = self._rule.timer is not None

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
    def nobody(self) -> str:
        """Why no server takes new connections, in words, when that is so."""
        return self.members.nobody

    @property
    def paused(self) -> bool:
        """Whether clients are held back."""
        return self._finder.room.queue.paused

    def start(self) -> None:
        """Begin health checks, and warm connections if there are to be any."""
        self.members.start()

    def drain(self) -> None:
        """The process is about to end: while it is paused, who waits is told that it was for nothing."""
        if self.paused:
            self._finder.turn_away()

    async def stop(self, deadline: float = 0.0) -> None:
        """End health checks, take no new clients, turn away those who wait; connections have ``deadline``
        seconds to end.  Done when none is left.
        """
        self._finder.close()
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
        rule = self._rule if balancer is None else Rule(balancer, type(balancer).__name__)
        return self._find(client, connection, rule, holder)

    def execute(
        self,
        fn: Callable[[ILease], Any],
        strategy: str | ILoadBalancer | None = None,
        client: str = "",
    ) -> Deferred[Any]:
        """Acquire, call ``fn`` with the lease, wait for its Deferred or coroutine, release whatever happened.

        :param strategy: the name of a built-in strategy, or a balancer, to pick the server by.
        :return: fires with what ``fn`` gave, or fails as it or :meth:`acquire` failed.
        :raises ValueError: when there is no strategy of that name.
        """
        rule = self._rule_of(strategy)
        return Deferred.fromCoroutine(
            lend(
                lambda name: self._find(client, None, rule, name),
                lambda lease: self.pools[lease.server.name],
                fn,
            )
        )

    def answered(self, server: Server, seconds: float) -> None:
        """The first byte of ``server`` came so long after the connection to it was made, or after the first
        byte of the client went there.
        """
        assert self._rule.timer is not None, "it is told where answers are timed"
        self._finder.tell(self._rule.timer.answered, server, seconds, self._clock.seconds())

    def whatif(self, client: str = "") -> Whatif:
        """Who would be picked for ``client``, without a connection and without a change to any balancer."""
        shared: tuple[Any, ...] = (self._clock,)
        if isinstance(self._chance, SystemRandom):  # it has no state
            shared += (self._chance,)
        if self.affinity is not None:  # a copy is asked, and remembers nothing
            shared += (self.affinity.table,)
        told = whatif(self.members, self._rule.picker, client, self._clock.seconds(), shared)
        waits = self._finder.would_wait()
        if waits and (full := self._finder.nobody_more):
            told = Whatif(Pick(told.pick.choice), full)
            waits = None
        home = None if self.affinity is None else self.affinity.look(client, self._clock.seconds())
        return evolve(told, strategy=self.strategy, waits=waits, home=home)

    def pause(self, limit: float | None = None) -> None:
        """Hold every new client back until :meth:`resume`, each for ``limit`` seconds at most (by default as
        configured).  Connections that there are go on.
        """
        usual = self._patience.pause_timeout
        self._finder.patience = evolve(self._patience, pause_timeout=usual if limit is None else limit)
        self._finder.room.pause()

    def resume(self, rate: float = 0.0) -> None:
        """Serve those who were held back, ``rate`` of them a second; 0: all at once."""
        self._finder.room.resume(rate)

    def clear_affinity(self, client: str | None = None) -> int:
        """Forget which server a client had, or all of them: who comes next is led as one that is new.

        :return: how many were known.
        :raises ChangeRefused: when nobody is remembered here.
        """
        if self.affinity is None:
            raise ChangeRefused(f"upstream {self.name} has no affinity")
        return self.affinity.forget(client)

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
            "resuming": self._finder.room.queue.rate,
            "pause_timeout": self._finder.patience.pause_timeout,
            "queue": self._finder.room.queue.stats(self._clock.seconds()),
            "retries": self._budget.stats(),
            "affinity": None if self.affinity is None else self.affinity.stats(self._clock.seconds()),
            "servers": [
                self.members.status(server) | self.operator.status(server) for server in self.servers
            ],
        }

    def health(self) -> dict[str, dict[str, Any]]:
        """What is known of the health of each server, by its name; see :meth:`HealthChecker.report`.  Empty
        when nothing watches them.
        """
        return {} if self.members.checker is None else self.members.checker.report()

    def _find(self, client: str, connection: Connection | None, rule: Rule, holder: str) -> Deferred[ILease]:
        search = Search(client, connection, rule, holder, rule.affinity if client else None)
        if connection is not None:
            connection.upstream = self.name
            connection.strategy = rule.name
            search.holder = holder or connection.id
        return self._finder.find(search)

    def _rule_of(self, strategy: str | ILoadBalancer | None) -> Rule:
        """What :meth:`execute` names."""
        if strategy is None:
            return self._rule
        if not isinstance(strategy, str):
            return Rule(strategy, type(strategy).__name__)
        if strategy not in STRATEGIES:
            raise ValueError(f"expected one of {', '.join(STRATEGIES)}, got {strategy!r}")
        if strategy not in self._named:
            self._named[strategy] = Rule(STRATEGIES[strategy](self._chance), strategy)
        return self._named[strategy]

"""The servers of an upstream, as the process and its operator have them now: who may be picked, and why not.

What moves a server in or out comes together here: its health checks, how real connections to it went, the
operator's word.  Whoever picks asks for :attr:`Members.usable`, which is made anew only when one of these has
changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import gatherResults
from twisted.logger import Logger
from zope.interface import implementer

from tcpsuite.core.choosing import candidates, choice
from tcpsuite.core.connections import Reason
from tcpsuite.core.servers import Administration, Server
from tcpsuite.errors import ChangeRefused
from tcpsuite.interfaces import IShrinkable
from tcpsuite.net.healthcheck import UNCHECKED
from tcpsuite.net.recovery import Ejections, Weights

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from tcpsuite.core.choosing import Choice
    from tcpsuite.core.connections import Connection
    from tcpsuite.core.ejection import Ejector
    from tcpsuite.core.health import Transition
    from tcpsuite.interfaces import IConnectionPool, IHealthCheck, Outcome
    from tcpsuite.net.healthcheck import HealthChecker


@implementer(IShrinkable)
class Members:
    """The servers of one upstream, and the connections to them.

    :param upstream: its name, for the log.
    :param servers: in the order of the configuration.
    :param pools: by the server's name.
    :param clock: an ``IReactorTime``.
    :param watch: makes what checks them and keeps their ``up``; called with :meth:`moved`, by which that
        tells of each that has gone up or down.  Without it, or if it makes nothing, they stay as they are.
    :param ejector: judges by real connections; ``None``: nobody is ejected.
    :param second_look: asks a server that resets connections, before it is ejected; ``None``: nobody does.
    :param slow_start: seconds that a server which comes back takes to its whole weight; 0: none.
    :param cut_when_down: whether the connections of a server that goes down are reset.
    :ivar servers: in the order of the configuration, those added behind.
    :ivar checker: what was made to check them, if anything.
    """

    log = Logger()

    def __init__(
        self,
        upstream: str,
        servers: Iterable[Server],
        pools: Mapping[str, IConnectionPool],
        clock: Any,
        *,
        watch: Callable[[Callable[[Server, Transition], None]], HealthChecker | None] = lambda _: None,
        ejector: Ejector | None = None,
        second_look: IHealthCheck | None = None,
        slow_start: float = 0.0,
        cut_when_down: bool = False,
    ) -> None:
        self.upstream = upstream
        self.servers = tuple(servers)
        self.pools = dict(pools)
        self.checker = watch(self.moved)
        self.weights = Weights(self.servers, clock, slow_start, self.refresh)
        self._ejections = Ejections(upstream, ejector, clock, self._ejected_or_back, second_look)
        self._listeners: list[Callable[[], object]] = []
        self._cut_when_down = cut_when_down
        self._using: dict[Server, set[Connection]] = {server: set() for server in self.servers}
        self._blamed: set[Server] = set()  # whose last connection did not go well
        self._usable: list[Server] | None = None
        self._choice: Choice | None = None
        self._running = False

    def __repr__(self) -> str:
        return f"<Members of {self.upstream}: {len(self.usable)} of {len(self.servers)} usable>"

    @property
    def usable(self) -> Sequence[Server]:
        """The servers that may be picked for a client that has tried none; one list, until one changes."""
        if self._usable is None:
            self._usable = candidates(self.servers)
        return self._usable

    @property
    def choice(self) -> Choice:
        """What there is to choose from for a client that has tried none."""
        if self._choice is None:
            self._choice = choice(self.servers, self.usable, (), self.weights.slow)
        return self._choice

    @property
    def nobody(self) -> str:
        """Why no server may be picked, in words."""
        return f"no server of {self.upstream} takes connections: of {len(self.servers)}, {self.choice.nobody}"

    def choice_without(self, tried: Collection[Server], found: Sequence[Server]) -> Choice:
        """What there is for a client that has tried some: ``found`` are its own candidates."""
        return choice(self.servers, found, tried, self.weights.slow)

    def server(self, name: str) -> Server:
        """The server of that name.

        :raises ChangeRefused: when there is none, naming those that there are.
        """
        for server in self.servers:
            if server.name == name:
                return server
        known = ", ".join(server.name for server in self.servers)
        raise ChangeRefused(f"upstream {self.upstream} has no server {name!r}; it has {known}")

    def listen(self, changed: Callable[[], object]) -> None:
        """Have ``changed`` called whenever :attr:`usable` may have changed."""
        self._listeners.append(changed)

    def start(self) -> None:
        """Begin health checks, and warm connections if there are to be any."""
        self._running = True
        for pool in self.pools.values():
            pool.start()
        if self.checker is not None:
            self.checker.start()

    async def stop(self, deadline: float) -> None:
        """End all that; connections have ``deadline`` seconds to end.  Done when none is left."""
        self._running = False
        self.weights.stop()
        self._ejections.stop()
        if self.checker is not None:
            self.checker.stop()
        await gatherResults([pool.close(deadline) for pool in self.pools.values()])

    def begun(self, server: Server) -> None:
        """One more connection to ``server`` is being made."""
        server.active += 1
        if server.full:
            self.refresh()

    def joined(self, server: Server, record: Connection) -> None:
        """The client of ``record`` has a connection to ``server``."""
        self._using[server].add(record)

    def left(self, server: Server, record: Connection) -> None:
        """It has it no more."""
        if (records := self._using.get(server)) is not None:
            records.discard(record)

    def ended(self, server: Server) -> None:
        """One connection to ``server`` is over, or could not be made."""
        was_full = server.full
        server.active -= 1
        if was_full:
            self.refresh()

    def judge(self, server: Server, ok: bool, error: str = "") -> None:
        """A real connection to ``server`` went well; or it could not be made."""
        if ok:
            if server not in self._blamed:
                return  # it is as good as it was
            self._blamed.discard(server)
        elif server in self._using:
            self._blamed.add(server)
        self._ejections.judge(server, ok, error)

    def suspect(self, server: Server, error: str) -> None:
        """``server`` reset a real connection, of itself or for what a client has sent."""
        if server in self._using:
            self._blamed.add(server)
        self._ejections.suspect(server, error)

    def note(self, server: Server, outcome: Outcome) -> None:
        """An attempt to connect to ``server`` ended so, or a connection by its fault: for the report."""
        if self.checker is not None and server in self._using:
            self.checker.note(server, outcome)

    def moved(self, server: Server, transition: Transition) -> None:
        """Health checks have taken ``server`` up or down."""
        if transition.up:
            self._take_part(server)
            self.weights.begin(server)
        else:
            self._ejections.leave(server)
        self.refresh()
        if not transition.up and self._cut_when_down:
            self.cut(server, Reason.SERVER_DOWN, transition.reason)

    def administer(self, server: Server, administration: Administration) -> None:
        """Take a server out, let it run empty, or leave it to its health again."""
        before, server.administration = server.administration, administration
        if before is administration:
            return
        if self.checker is not None:
            if administration is Administration.MAINT:
                self.checker.rest(server)
            elif before is Administration.MAINT:
                self.checker.resume(server)
        if administration is Administration.READY:
            self._take_part(server)
            self.weights.begin(server)
        else:
            self._ejections.leave(server)
        self.refresh()

    def add(self, server: Server, pool: IConnectionPool) -> None:
        """One server more."""
        self.servers += (server,)
        self.pools[server.name] = pool
        self._using[server] = set()
        self.weights.set(server, int(server.weight))
        if self.checker is not None:
            # Nobody has seen it well yet, as somebody had who wrote the file.
            server.up = not self.checker.asks
            self.checker.add(server)
        self._take_part(server)
        if self._running:
            pool.start()
        self.refresh()

    def remove(self, server: Server, detail: str) -> None:
        """Forget a server; its connections are cut, and those being made given up.

        :param detail: why, for the records of its clients.
        """
        self.servers = tuple(each for each in self.servers if each is not server)
        self.weights.forget(server)
        # From here on nobody is led to it, whoever is called by what follows.
        self.refresh()
        self._ejections.leave(server)
        self._blamed.discard(server)
        if self.checker is not None:
            self.checker.remove(server)
        self.cut(server, Reason.CUT, detail)
        del self._using[server]
        self.pools.pop(server.name).close().addErrback(
            lambda failure: self.log.failure("while closing", failure)
        )

    def cut(self, server: Server, reason: Reason, detail: str) -> int:
        """Reset the connections to a server, and give up those that are being made: their clients are tried
        with others.

        :return: how many there were of both.
        """
        for record in self._using[server]:
            record.because(reason, detail)
        number = server.active
        self.pools[server.name].cut()
        return number

    def shrink(self) -> None:
        """Have the pools give back what they can."""
        for pool in self.pools.values():
            if IShrinkable.providedBy(pool):
                pool.shrink()

    def refresh(self) -> None:
        """Who may be picked may have changed."""
        self._usable = self._choice = None
        for changed in self._listeners:
            changed()

    def status(self, server: Server) -> dict[str, Any]:
        """What there is to know of a server, as plain data."""
        health = UNCHECKED if self.checker is None else self.checker.status(server)
        made = server.connections
        return {
            "name": server.name,
            "address": server.address,
            "weight": round(server.weight, 3),
            "backup": server.backup,
            "max_connections": server.max_connections,
            "administration": server.administration.value,
            "up": server.up,
            "ejected": server.ejected,
            "full": server.full,
            "slow_start": server in self.weights.slow,
            "active": server.active,
            "connections": made,
            "failures": server.failures,
            "resets": server.resets,
            "error_rate": round(server.error_rate, 4),
            "connect_ms": round(1000 * server.connect_seconds / made, 3) if made else None,
            "last_error": server.last_error,
            **health,
            "pool": self.pools[server.name].stats(),
        }

    def _take_part(self, server: Server) -> None:
        """Judge it by real connections, if it takes any: of those that do half may be ejected."""
        if server.up and server.administration is Administration.READY:
            self._ejections.join(server)

    def _ejected_or_back(self, server: Server) -> None:
        if not server.ejected:
            self.weights.begin(server)
        self.refresh()

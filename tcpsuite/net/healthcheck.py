"""Asks servers whether they are well, again and again, and keeps what they answered.

How one is asked says :mod:`tcpsuite.net.checks`, what the answers mean :mod:`tcpsuite.core.health`.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from attrs import Factory, define
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from tcpsuite.core.health import RiseFall, Schedule
from tcpsuite.core.history import History
from tcpsuite.interfaces import Outcome
from tcpsuite.net.shortage import Complaints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from tcpsuite.core.health import Transition
    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import IHealthCheck

PATIENCE = 60.0
"""Seconds that a check may take: each has a time-out of its own, which is shorter."""

UNCHECKED: Mapping[str, Any] = {"since": None, "checks": {"ok": 0, "failed": 0}}
"""What :meth:`HealthChecker.status` says of a server before its first check."""


@define(eq=False)
class _Watched:
    """One server, what is known of its health, and what is under way."""

    server: Server
    health: RiseFall
    checks: History = Factory(History)
    connections: History = Factory(History)
    transition: Transition | None = None
    resting: bool = False
    next: IDelayedCall | None = None
    """The next check, or the end of the patience with the one that is under way."""
    asking: Deferred[Any] | None = None
    given_up: int = 0
    """How often what was under way was given up: what was asked before that is of no interest any more."""


class HealthChecker:
    """Checks servers again and again, writes down whether they are up, and tells of it.

    :param upstream: its name, for the log.
    :param servers: their ``up`` and ``last_error`` are kept here.
    :param check: asks one server once; ``None`` asks nobody: what is kept is how real connections went.
    :param reactor: an ``IReactorTime``.
    :param health: makes the rise and fall counts of one server.
    :param schedule: when to ask next.
    :param chance: drawn from, so that the checks of many servers do not come at once.
    :param changed: called with a server that has gone up or down, and with its transition; its ``up`` says it
        already.
    :param patience: seconds after which a check that has not ended by itself is given up, and has failed.
    :param wall: gives the seconds since the epoch, for the times that it tells of.
    """

    log = Logger()

    def __init__(
        self,
        upstream: str,
        servers: Iterable[Server],
        check: IHealthCheck | None,
        reactor: Any,
        *,
        health: Callable[[], RiseFall] = RiseFall,
        schedule: Schedule | None = None,
        chance: random.Random | None = None,
        changed: Callable[[Server, Transition], None] | None = None,
        patience: float = PATIENCE,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._upstream = upstream
        self._check = check
        self._reactor = reactor
        self._health = health
        self._schedule = schedule or Schedule()
        self._chance = chance or random.SystemRandom()
        self._changed = changed
        self._patience = patience
        self._wall = wall
        self._complaints = Complaints(upstream, reactor)
        self._running = False
        self._watched: dict[str, _Watched] = {}
        for server in servers:
            self.add(server)

    def __repr__(self) -> str:
        up = sum(watched.server.up for watched in self._watched.values())
        state = "running" if self._running else "stopped"
        return f"<HealthChecker {self._upstream} {state} up={up} of {len(self._watched)}>"

    @property
    def asks(self) -> bool:
        """Whether it asks servers at all, or only keeps how real connections went."""
        return self._check is not None

    def start(self) -> None:
        """Begin to check every server."""
        self._running = True
        for watched in self._watched.values():
            self._wait(watched)

    def stop(self) -> None:
        """Check no more; what is under way is given up."""
        self._running = False
        for watched in self._watched.values():
            self._give_up(watched)

    def add(self, server: Server) -> None:
        """One server more, with a name of its own; it is checked soon, if the others are."""
        watched = self._watched[server.name] = _Watched(server, self._fresh(server))
        self._wait(watched)

    def remove(self, server: Server) -> None:
        """Check it no more, and forget what was known of it."""
        self._give_up(self._watched.pop(server.name))

    def rest(self, server: Server) -> None:
        """Leave a server alone until :meth:`resume`; it stays as it is, up or down."""
        watched = self._watched[server.name]
        watched.resting = True
        self._give_up(watched)

    def resume(self, server: Server) -> None:
        """Check it again, soon; the first check decides, as at the start.  No effect on one that does not
        rest.
        """
        watched = self._watched[server.name]
        if watched.resting:
            watched.resting = False
            watched.health = self._fresh(server)
            self._wait(watched)

    def note(self, server: Server, outcome: Outcome) -> None:
        """A real connection to ``server`` went so: for the report, nothing else comes of it.

        :param outcome: its seconds are those that it took to connect.
        """
        if not outcome.local:
            self._watched[server.name].connections.add(outcome, self._wall())

    def status(self, server: Server) -> dict[str, Any]:
        """What is known of a server: ``since`` when it is what it is (in seconds since the epoch, ``None``
        before the first check), and ``checks`` by how they ended.
        """
        watched = self._watched[server.name]
        checks = {"ok": watched.checks.ok, "failed": watched.checks.failed}
        return {"since": watched.health.since, "checks": checks}

    def report(self) -> dict[str, dict[str, Any]]:
        """What the latest outcomes say of each server, by its name, as plain data.

        ``up``, and ``since`` when; whether it is ``resting``; the last ``transition`` (``up``, ``at``,
        ``reason``), ``None`` when there was none; what :meth:`tcpsuite.core.history.History.report` says of
        its ``checks``, and of real ``connections`` to it.  Times are seconds since the epoch, as the wall
        clock was then, and the log with it.
        """
        return {
            name: {
                "up": watched.server.up,
                "since": watched.health.since,
                "resting": watched.resting,
                "transition": _told(watched.transition),
                "checks": watched.checks.report(),
                "connections": watched.connections.report(),
            }
            for name, watched in self._watched.items()
        }

    def _fresh(self, server: Server) -> RiseFall:
        health = self._health()
        health.up = server.up
        return health

    def _wait(self, watched: _Watched, delay: float | None = None) -> None:
        if self._check is not None and self._running and not watched.resting:
            if delay is None:
                delay = self._schedule.wait(watched.health, self._chance.random())
            watched.next = self._reactor.callLater(delay, self._ask, self._check, watched)

    def _give_up(self, watched: _Watched) -> None:
        watched.given_up += 1
        if watched.next is not None:
            watched.next.cancel()
            watched.next = None
        if watched.asking is not None:
            watched.asking.cancel()
            watched.asking = None

    def _ask(self, check: IHealthCheck, watched: _Watched) -> None:
        watched.next = self._reactor.callLater(self._patience, self._overdue, watched)
        asking = watched.asking = maybeDeferred(check.check, watched.server)
        turn = watched.given_up
        asking.addErrback(self._broken, watched, turn).addCallback(self._observe, watched, turn)

    def _overdue(self, watched: _Watched) -> None:
        """A check ends in time whatever happens; one that does not must not leave its server as it was."""
        watched.next = None
        self._give_up(watched)
        self.log.error(
            "the health check {check!r} is broken: it did not end within {patience:g} s",
            check=self._check,
            patience=self._patience,
        )
        outcome = Outcome(False, f"the check is broken: it did not end within {self._patience:g} s")
        self._observe(outcome, watched, watched.given_up)

    def _broken(self, failure: Failure, watched: _Watched, turn: int) -> Outcome:
        """A check gives an outcome whatever happens; one that does not is at fault itself."""
        if turn == watched.given_up:
            self.log.failure("the health check {check!r} is broken", failure, check=self._check)
        return Outcome(False, f"the check is broken: {failure.getErrorMessage()}")

    def _observe(self, outcome: Outcome, watched: _Watched, turn: int) -> None:
        if turn != watched.given_up:
            return
        if watched.next is not None:
            watched.next.cancel()
        watched.next = watched.asking = None
        if outcome.local:
            self._complaints.complain(outcome.error)
            self._wait(watched, self._schedule.fast_interval)
            return
        self._count(outcome, watched)
        if turn == watched.given_up:  # who was told of a transition may have stopped all this
            self._wait(watched)

    def _count(self, outcome: Outcome, watched: _Watched) -> None:
        server, now = watched.server, self._wall()
        watched.checks.add(outcome, now)
        if not outcome.ok:
            server.last_error = outcome.error
        transition = watched.health.observe(outcome, now)
        server.up = watched.health.up
        if transition is not None:
            watched.transition = transition
            self._tell(server, transition)

    def _tell(self, server: Server, transition: Transition) -> None:
        say = self.log.info if transition.up else self.log.warn
        say(
            "server {server} of {upstream} is {state}: {reason}",
            server=server.name,
            upstream=self._upstream,
            state="up" if transition.up else "down",
            reason=transition.reason,
        )
        if self._changed is not None:
            try:
                self._changed(server, transition)
            except Exception:  # checking goes on, whatever others make of it
                self.log.failure(
                    "{upstream} could not be told that a server changed", upstream=self._upstream
                )


def _told(transition: Transition | None) -> dict[str, Any] | None:
    if transition is None:
        return None
    return {"up": transition.up, "at": transition.at, "reason": transition.reason}

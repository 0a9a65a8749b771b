"""The search for a server, for one client: how patient it is, and what is noted of it."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, frozen

from tcpsuite.core.connections import Attempt
from tcpsuite.core.picks import Pick
from tcpsuite.core.queueing import WhyHeld
from tcpsuite.errors import ConnectFailed, NoServer, PoolExhausted

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from tcpsuite.core.affinity import Affinity
    from tcpsuite.core.choosing import Choice
    from tcpsuite.core.connections import Connection
    from tcpsuite.core.picks import Basis
    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import ILease
    from tcpsuite.net.rule import Rule


MOST_NOTED = 100
"""Attempts that are kept in a record, the latest: who waits for a server to come up may make many."""


@frozen
class Patience:
    """How often a server is looked for, and for how long.  Times are seconds."""

    retries: int = 3
    """Other servers that are tried for a client when the first one fails."""
    connect_budget: float = 10.0
    """All attempts for one client end after so long."""
    acquire_timeout: float = inf
    """A client waits so long for a connection of one server before others are tried."""
    queue_timeout: float = 5.0
    """A client waits so long for a server with room, when all are full."""
    hold_timeout: float = 0.0
    """A client waits so long for a server to come up, when none is."""
    pause_timeout: float = 30.0
    """A client waits so long for a paused upstream to be resumed."""

    def limit(self, why: WhyHeld) -> float:
        """Seconds that a client waits at most."""
        match why:
            case WhyHeld.PAUSED:
                return self.pause_timeout
            case WhyHeld.FULL | WhyHeld.RETRIES:
                return self.queue_timeout
            case WhyHeld.NONE_UP:
                return self.hold_timeout

    def late(self, why: WhyHeld, upstream: str, none: str) -> Exception:
        """The error for a client that has waited so long; ``none`` says why there is no server."""
        match why:
            case WhyHeld.PAUSED:
                return PoolExhausted(f"upstream {upstream} held clients back{_for(self.pause_timeout)}")
            case WhyHeld.FULL | WhyHeld.RETRIES:
                return PoolExhausted(f"the servers of {upstream} were full{_for(self.queue_timeout)}")
            case WhyHeld.NONE_UP:
                return NoServer(f"{none}, for {self.hold_timeout:g} s")


def _for(seconds: float) -> str:
    return f" for {seconds:g} s" if seconds else ""


@define(eq=False)
class Search:
    """For whom a server is wanted, by which rule, until when, and which have failed so far and why.

    Who searches without a record has nothing noted.
    """

    client: str
    record: Connection | None
    rule: Rule
    holder: str = ""
    """Who it is, for people."""
    affinity: Affinity | None = None
    """What is to remember where the client was led to, if anything is."""
    key: str = ""
    """What it has remembered the client as."""
    deadline: float | None = None
    """When attempts end; ``None`` before the first."""
    tried: dict[Server, Exception] = Factory(dict)
    retrying: bool = False
    """Whether it takes part of the retry budget."""
    held_until: float | None = None
    """When it waits no longer for a server to come up; ``None`` while it has not begun to."""
    answer: Deferred[ILease] | None = None
    """What fires with the lease, once it has been held; before that, the first step does."""
    step: Deferred[Any] | None = None
    """What is under way then, for the answer."""

    def picked(self, server: Server, choice: Choice, basis: Basis | None = None) -> None:
        """The balancer has just picked ``server`` from those of which ``choice`` tells.

        :param basis: what it went by, if it has said so.
        """
        if self.record is not None:
            self._note(Pick(choice, server.name, basis))

    def found_none(self, choice: Choice) -> None:
        """There was nobody to pick from, as ``choice`` tells."""
        if self.record is not None:
            self._note(Pick(choice))

    def attempted(self, server: Server, error: str, seconds: float) -> None:
        """A server was tried; ``error`` is empty when it was reached."""
        if self.record is not None:
            attempt = self.record.picks[-1].attempt = Attempt(server.name, error, seconds)
            self.record.attempts = (*self.record.attempts[1 - MOST_NOTED :], attempt)

    def give_up(self) -> None:
        """Whoever wanted it has left."""
        if self.step is not None:
            self.step.cancel()

    def waited(self, why: WhyHeld, seconds: float) -> None:
        """It has waited so long."""
        if self.record is not None:
            self.record.held += seconds
            self.record.held_why = why.value

    def _note(self, pick: Pick) -> None:
        assert self.record is not None
        self.record.picks = (*self.record.picks[1 - MOST_NOTED :], pick)

    def failure(self, none: str) -> Exception:
        """The error when no further server is tried; ``none`` says why there is none, if none was."""
        if not self.tried:
            return NoServer(none)
        told = ", ".join(f"{server.name}: {error}" for server, error in self.tried.items())
        if all(isinstance(error, PoolExhausted) for error in self.tried.values()):
            return PoolExhausted(told)
        return ConnectFailed(told)

"""All limits together, for the connections of one listener."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from attrs import frozen
from zope.interface import implementer

from tcpsuite.core.limits.counts import Counts
from tcpsuite.core.limits.keys import key_of, user_key, user_of
from tcpsuite.core.limits.overrides import NO_OVERRIDES, Overrides, Policies
from tcpsuite.core.limits.rates import KEYS, Rates
from tcpsuite.core.limits.settings import DEFAULTS, LIMITS, UNLIMITED, Limits
from tcpsuite.core.limits.sharing import NOTHING_SHARED, Tables
from tcpsuite.errors import LocalError
from tcpsuite.interfaces import ILimiter, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXEMPT = Verdict(True)


@frozen
class Use:
    """How much of a limit one key has used."""

    limit: str
    """The option: ``connections_per_ip``."""
    key: str
    used: float
    """Connections that are open; of a rate, what of its burst is spent."""
    allowed: float
    """Connections that there may be, or the burst; 0: any number."""


@implementer(ILimiter)
class ResourceLimiter:
    """Limits what one client may have and do, and one user.

    A client is an IPv4 address, an IPv6 network of 64 bits, or all peers of UNIX sockets together.  What is
    counted is what is open: who has no connection leaves none behind here.

    :param limits: what each may have.
    :param exempt_loopback: whether peers on this machine, over loopback or a UNIX socket, have no limits,
        unless an override is for them alone.
    :param overrides: other limits for some.
    :param dry_run: limits that are only tried: a verdict tells that they would have refused, and allows it.
    :param capacity: keys of which each rate remembers what they have spent.
    :param shared: the tables of limits that other processes count too.
    :raises LocalError: when ``dry_run`` names what is no limit.
    """

    def __init__(
        self,
        limits: Limits = DEFAULTS,
        *,
        exempt_loopback: bool = True,
        overrides: Overrides = NO_OVERRIDES,
        dry_run: Iterable[str] = (),
        capacity: int = KEYS,
        shared: Tables = NOTHING_SHARED,
    ) -> None:
        self.limits = limits
        self.exempt_loopback = exempt_loopback
        self._dry_run = frozenset(dry_run)
        if unknown := self._dry_run.difference(LIMITS):
            raise LocalError(f"no limit is called {', '.join(sorted(unknown))}")
        self.shared = shared
        self._places, self._logins = shared.connections_per_ip, shared.connections_per_user
        self._clients = Counts() if self._places is None else self._places
        self._users = Counts() if self._logins is None else self._logins
        self._arrivals = Rates(capacity) if shared.connection_rate is None else shared.connection_rate
        self._messages = Rates(capacity) if shared.message_rate is None else shared.message_rate
        self.overrides = overrides

    def __repr__(self) -> str:
        return (
            f"<ResourceLimiter clients={self._clients.keys} connections={len(self._clients)}"
            f" users={self._users.keys} logins={len(self._users)}>"
        )

    @property
    def overrides(self) -> Overrides:
        """The overrides that are in force.  Others may be set at any time: what is open is counted on."""
        return self._overrides

    @overrides.setter
    def overrides(self, overrides: Overrides) -> None:
        self._policies = Policies(self.limits, overrides, self.exempt_loopback)
        self._overrides = overrides

    def admit(self, client: str, now: float) -> Verdict:
        """One more connection of ``client``, an IP address or empty: see :meth:`ILimiter.admit`."""
        key = key_of(client)
        limits = self._policies.find(key)
        if limits is None:
            return _EXEMPT
        verdict = None
        if 0 < limits.connections_per_ip <= (held := self._clients.of(key)):
            verdict = self._too_many("connections_per_ip", key, held, limits.connections_per_ip)
        elif self._places is not None and limits.connections_per_ip:
            why = self._places.refuses(key, held, limits.connections_per_ip, now)
            if why:
                verdict = self._elsewhere("connections_per_ip", key, held, limits.connections_per_ip, why)
        if limits.connection_rate and (verdict is None or verdict.allowed):
            wait = self._arrivals.spend(key, 1, limits.connection_rate, limits.connection_burst, now)
            if wait:
                late = self._too_fast(
                    "connection_rate", key, "new connections", limits.connection_rate, wait, now
                )
                verdict = verdict if verdict is not None and late.allowed else late
        return self._taken(self._clients, verdict, key)

    def admit_user(self, user: str, now: float) -> Verdict:
        """One more connection on which ``user`` is logged in: see :meth:`ILimiter.admit_user`."""
        key = user_key(user)
        limits = self._policies.find(key) or UNLIMITED
        verdict = None
        if 0 < limits.connections_per_user <= (held := self._users.of(key)):
            verdict = self._too_many("connections_per_user", key, held, limits.connections_per_user)
        elif self._logins is not None and limits.connections_per_user:
            why = self._logins.refuses(key, held, limits.connections_per_user, now)
            if why:
                verdict = self._elsewhere("connections_per_user", key, held, limits.connections_per_user, why)
        return self._taken(self._users, verdict, key)

    def spend(self, key: str, amount: float, now: float) -> Verdict:
        """``key`` sends ``amount`` messages more: see :meth:`ILimiter.spend`."""
        key = key_of(key)
        limits = self._policies.find(key)
        if limits is None or not limits.message_rate or amount <= 0:
            return _EXEMPT
        wait = self._messages.spend(key, amount, limits.message_rate, limits.message_burst, now)
        if not wait:
            return _EXEMPT
        return self._too_fast("message_rate", key, "requests", limits.message_rate, wait, now)

    def release(self, verdict: Verdict) -> None:
        """The connection of ``verdict`` is gone.  A second time, or for a refusal, nothing happens."""
        (self._users if user_of(verdict.key) else self._clients).give_back(verdict)

    def top(self, number: int, now: float) -> list[Use]:
        """Who uses most of each limit, the most first, at most ``number`` for each.

        With a hundred thousand keys it takes some tens of milliseconds.
        """
        found = [
            Use(limit, key, counts.of(key), getattr(self.limits_of(key), limit))
            for limit, counts in (
                ("connections_per_ip", self._clients), ("connections_per_user", self._users),
            )
            for key in counts.top(number)
        ]  # fmt: skip
        for limit, burst, rates in (
            ("connection_rate", "connection_burst", self._arrivals),
            ("message_rate", "message_burst", self._messages),
        ):
            for key in rates.top(number, now):
                own = self.limits_of(key)
                found.append(Use(limit, key, rates.spent(key, getattr(own, limit), now), getattr(own, burst)))
        return found

    @property
    def throttles_users(self) -> bool:
        """Whether some user has a bandwidth."""
        return self._policies.throttle_users

    def limits_of(self, key: str) -> Limits:
        """What ``key`` may have and do."""
        return (self._policies.find(key) if key else None) or UNLIMITED

    def _taken(self, counts: Counts, verdict: Verdict | None, key: str) -> Verdict:
        """The verdict, counted if it allows: ``None`` is no objection."""
        if verdict is None:
            verdict = Verdict(True, key=key)
        if verdict.allowed:
            counts.take(verdict)
        return verdict

    def _too_many(self, limit: str, key: str, held: int, most: int) -> Verdict:
        reason = f"{user_of(key) or key} has {held} connections open, of {most} that it may have"
        return Verdict(limit in self._dry_run, limit, reason, key=key)

    def _elsewhere(self, limit: str, key: str, held: int, most: int, why: str) -> Verdict:
        """``key`` has no more than it may here, but too many with what the others have."""
        reason = f"{user_of(key) or key} has {held} connections open here, of {most} in all; {why}"
        return Verdict(limit in self._dry_run, limit, reason, key=key)

    def _too_fast(self, limit: str, key: str, what: str, rate: float, wait: float, now: float) -> Verdict:
        reason = f"{user_of(key) or key} has more than {rate:g} {what} a second"
        if getattr(self.shared, limit) is not None and self.shared.standing is not None:
            reason += self.shared.standing.words(now)
        return Verdict(limit in self._dry_run, limit, reason, wait if isfinite(wait) else 0.0, key)

"""A listener's limits at work: what is asked of them behind its door, and what becomes of their verdicts.

::

    door      Admission asks once for each connection
    service   ServiceLimits is asked at each login, and for each request of a service that has requests
    dry run   DryRun counts and tells what a limit that is only tried would have refused
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from tcpsuite.core.limits import user_key
from tcpsuite.interfaces import Verdict
from tcpsuite.net.seldom import Seldom

if TYPE_CHECKING:
    from tcpsuite.core.connections import Connection, Ledger
    from tcpsuite.interfaces import ILimiter
    from tcpsuite.net.throttling import Throttling

LOG_INTERVAL = 10.0
"""Seconds between two lines about what would have been refused: who tries a limit wants to see it, not to
drown in it."""

_NO_LIMITS = Verdict(True)


class DryRun:
    """Counts and logs what limits of a listener would have refused.

    :param listener: its name.
    :param ledger: counts.
    :param clock: an ``IReactorTime``.
    """

    log = Logger()

    def __init__(self, listener: str, ledger: Ledger, clock: Any) -> None:
        self._listener = listener
        self._ledger = ledger
        self._seldom = Seldom(clock, LOG_INTERVAL)

    def __repr__(self) -> str:
        return f"<DryRun {self._listener} unlogged={self._seldom.unsaid['refused']}>"

    def note(self, verdict: Verdict) -> None:
        """``verdict`` allows what a limit would have refused."""
        self._ledger.would_refuse(self._listener, verdict.limit)
        if not self._seldom.says("refused"):
            return
        others = self._seldom.unsaid.pop("refused", 0)
        self.log.info(
            "listener {name}: {limit}, in dry_run, would have refused: {reason}{others}",
            name=self._listener, limit=verdict.limit, reason=verdict.reason,
            others=f"; and {others} others since the last such line" if others else "",
        )  # fmt: skip


class ServiceLimits:
    """The limits of a listener, for the service behind it.  What they refuse is counted.

    :param listener: its name.
    :param limiter: decides.
    :param ledger: counts.
    :param clock: an ``IReactorTime``.
    :param throttling: is told who logs in; ``None`` when nobody is throttled.
    """

    def __init__(
        self,
        listener: str,
        limiter: ILimiter,
        ledger: Ledger,
        clock: Any,
        throttling: Throttling | None = None,
    ) -> None:
        self._listener = listener
        self._limiter = limiter
        self._ledger = ledger
        self._clock = clock
        self._throttling = throttling
        self._dry_run = DryRun(listener, ledger, clock)

    def __repr__(self) -> str:
        return f"<ServiceLimits {self._listener} {self._limiter!r}>"

    def request(self, connection: Connection) -> Verdict:
        """May a request that came on ``connection`` be answered?  It counts for who is logged in there, else
        for its address; where addresses have no limits, as on this machine, neither has a user.
        """
        key = connection.limited_as
        if not key:
            return _NO_LIMITS
        if connection.user:
            key = user_key(connection.user)
        return self._noted(self._limiter.spend(key, 1, self._clock.seconds()))

    def login(self, connection: Connection, user: str) -> Verdict:
        """May ``user`` be logged in on one connection more?  If so that counts until :meth:`logout`."""
        verdict = self._noted(self._limiter.admit_user(user, self._clock.seconds()))
        if verdict.allowed and self._throttling is not None:
            self._throttling.login(connection, user)
        return verdict

    def logout(self, verdict: Verdict) -> None:
        """The connection of a :meth:`login` is gone.  Safe to call twice, and for a refusal."""
        self._limiter.release(verdict)

    def refused(self, limit: str) -> None:
        """A request was refused by a limit that the service keeps itself."""
        self._ledger.refuse_request(self._listener, limit)

    def _noted(self, verdict: Verdict) -> Verdict:
        if verdict.limit:
            if verdict.allowed:
                self._dry_run.note(verdict)
            else:
                self._ledger.refuse_request(self._listener, verdict.limit)
        return verdict

"""A listener's limits of which other processes count some too: whoever asks the others is woken in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tcpsuite.core.limits import ResourceLimiter, Terms

if TYPE_CHECKING:
    from tcpsuite.core.limits import Sharing
    from tcpsuite.interfaces import Verdict
    from tcpsuite.net.limit_options import LimitsOptions


class Asking(Protocol):
    """Asks the others.

    :ivar sharing: what is to be asked, and who is told the answers.
    """

    sharing: Sharing

    def wake(self) -> None:
        """There may be something to ask."""


class SharedLimiter(ResourceLimiter):
    """Decides at once, by what this process knows of the others; what it would know it has asked for.

    :param options: what each may have, and which of it is shared.
    :param listener: its name, which it has in all processes.
    :param asking: asks the others.
    """

    def __init__(self, options: LimitsOptions, listener: str, asking: Asking) -> None:
        tables = asking.sharing.tables(
            listener,
            {
                limit: Terms(options.batch, options.local_share, limit in options.refuse_when_away)
                for limit in options.shared
            },
        )
        super().__init__(
            options, exempt_loopback=options.exempt_loopback, dry_run=options.dry_run, shared=tables
        )
        asks = {limit: table.asks for limit, table in tables.given.items()}
        self._of_clients = asks.get("connections_per_ip", {})
        self._of_arrivals = asks.get("connection_rate", {})
        self._of_users = asks.get("connections_per_user", {})
        self._of_messages = asks.get("message_rate", {})
        self._wake = asking.wake

    def admit(self, client: str, now: float) -> Verdict:
        """See :meth:`ILimiter.admit`."""
        verdict = super().admit(client, now)
        if self._of_clients or self._of_arrivals:
            self._wake()
        return verdict

    def admit_user(self, user: str, now: float) -> Verdict:
        """See :meth:`ILimiter.admit_user`."""
        verdict = super().admit_user(user, now)
        if self._of_users:
            self._wake()
        return verdict

    def spend(self, key: str, amount: float, now: float) -> Verdict:
        """See :meth:`ILimiter.spend`."""
        verdict = super().spend(key, amount, now)
        if self._of_messages:
            self._wake()
        return verdict

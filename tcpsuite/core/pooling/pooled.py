"""A connection that is lent again and again, and what is thought of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from tcpsuite.core.pooling.decisions import End

if TYPE_CHECKING:
    from tcpsuite.core.pooling.settings import PoolSettings

JUDGED_USES = 10
"""A share of errors says nothing of a connection that was used less often."""


@define(eq=False)
class Pooled:
    """A connection that is made.  All times are seconds, on one clock."""

    number: int
    retire_at: float
    """When it has lived for long enough."""
    since: float
    """When it was lent, or was given back."""
    proved: float
    """When it was last seen to work."""
    uses: int = 0
    errors: int = 0
    errors_in_row: int = 0

    def used(self, ok: bool, now: float) -> None:
        """It was given back, and ``ok`` or not did what it was wanted for."""
        self.uses += 1
        self.since = now
        if ok:
            self.errors_in_row = 0
            self.proved = now
        else:
            self.errors += 1
            self.errors_in_row += 1

    def may_be_lent(self, now: float, validate_idle: float) -> bool:
        """Whether nobody needs to look at it first: it worked last time, and that was not long ago."""
        return now <= self.proved + validate_idle and not self.errors_in_row and now < self.retire_at

    def spent(self, now: float, settings: PoolSettings) -> End | None:
        """Why it is not to be lent again, if it is not."""
        if now >= self.retire_at:
            return End.LIFETIME
        if 0 < settings.max_uses <= self.uses:
            return End.USES
        too_often = self.uses >= JUDGED_USES and self.errors > settings.error_rate * self.uses
        return End.ERRORS if too_often or self.errors_in_row >= settings.errors_in_row else None

    def overdue(self, now: float, settings: PoolSettings, surplus: bool) -> End | None:
        """Why it is to be idle no longer, if it is not.

        :param surplus: whether there are more than the minimum.
        """
        if now >= self.retire_at:
            return End.LIFETIME
        if now >= self.since + settings.max_idle_time:
            return End.IDLE_TIME
        return End.MAX_IDLE if surplus and now >= self.since + settings.idle_timeout else None

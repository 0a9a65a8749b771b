"""Which connections of a listener are throttled, and which buckets they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define

from tcpsuite.core.limits import user_key
from tcpsuite.core.limits.bandwidth import Flow, Shared
from tcpsuite.net.throttle import Throttle

if TYPE_CHECKING:
    from tcpsuite.core.connections import Connection
    from tcpsuite.core.limits import ResourceLimiter


@define
class _Member:
    """A connection that is throttled."""

    throttle: Throttle
    keys: tuple[str, ...] = ()
    """Whose buckets it takes from, beside its own."""


class Throttling:
    """Throttles the connections of a listener by address, by user, and each for itself.

    What holds for a connection is settled when it begins, and for a user at the login.

    :param limiter: tells the limits of a key.
    :param clock: an ``IReactorTime``.
    :param high_water: bytes that wait for a client, past which who produces them is told to wait.
    """

    def __init__(self, limiter: ResourceLimiter, clock: Any, high_water: int) -> None:
        self._limiter = limiter
        self._clock = clock
        self._high_water = high_water
        self._shared = Shared()
        self._members: dict[Connection, _Member] = {}

    def __repr__(self) -> str:
        return f"<Throttling connections={len(self._members)} buckets={len(self._shared)}>"

    def begin(self, record: Connection, transport: Any) -> Throttle | None:
        """What a connection is served through; ``None`` when nothing bounds it."""
        key = record.limited_as
        limits = self._limiter.limits_of(key)
        own, shared = limits.bandwidth_per_connection, limits.bandwidth_per_ip
        if not key or not (own or shared or self._limiter.throttles_users):
            return None
        now = self._clock.seconds()
        here, there = self._shared.join(key, shared, now) if shared else (None, None)
        throttle = Throttle(transport, Flow(own, here), Flow(own, there), self._clock, self._high_water)
        self._members[record] = _Member(throttle, (key,) if shared else ())
        record.held_back = throttle.held_back
        throttle.begin(now)
        return throttle

    def login(self, record: Connection, user: str) -> None:
        """``user`` has logged in on a connection."""
        member, rate = self._members.get(record), self._limiter.limits_of(user_key(user)).bandwidth_per_user
        if member is not None and rate and user_key(user) not in member.keys:
            member.throttle.add(*self._shared.join(user_key(user), rate, self._clock.seconds()))
            member.keys += (user_key(user),)

    def end(self, record: Connection) -> None:
        """A connection is gone; to be called before its service hears of that."""
        member = self._members.pop(record, None)
        if member is not None:
            member.throttle.lost()
            for key in member.keys:
                self._shared.leave(key)

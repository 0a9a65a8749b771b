"""Who is logged in on a connection, for services whose clients may log in more than once on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcpsuite.services.over_limit import check_verdict

if TYPE_CHECKING:
    from tcpsuite.core.connections import Connection
    from tcpsuite.interfaces import Verdict
    from tcpsuite.net.limiting import ServiceLimits


class Logins:
    """The login of one connection, as the limits of its listener count it: the last one, until the connection
    is gone.

    :param limits: asked at each login of another user; ``None`` for no limits.
    """

    def __init__(self, limits: ServiceLimits | None) -> None:
        self._limits = limits
        self._user = ""
        self._verdict: Verdict | None = None
        self._over = False

    def __repr__(self) -> str:
        return f"<Logins {self._user or 'nobody'}{' over' if self._over else ''}>"

    def enter(self, connection: Connection, user: str) -> None:
        """``user``, whose password was right, is logged in on ``connection``, and noted in its record.

        :raises ProtocolError: ``limit``, when that would be one connection too many; who was logged in before
            still is.
        """
        if self._limits is not None and user != self._user and not self._over:
            verdict = check_verdict(self._limits.login(connection, user))
            self._release()
            self._verdict, self._user = verdict, user
        connection.user = user

    def leave(self) -> None:
        """The connection is gone."""
        self._over = True
        self._release()

    def _release(self) -> None:
        if self._limits is not None and self._verdict is not None:
            self._limits.logout(self._verdict)
            self._verdict = None

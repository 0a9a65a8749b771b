"""A real redis-server, and the few words of its protocol that the tests say themselves."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Self

from tests.integration.support.programs import Program, accepts

if TYPE_CHECKING:
    from pathlib import Path


class Redis(Program):
    """A redis-server on a port of loopback, which keeps nothing.

    :param others: further addresses of loopback that it is reached at.
    :param password: that it wants; empty for none.
    """

    def __init__(self, port: int, folder: Path, *others: str, password: str = "") -> None:
        super().__init__(
            *("redis-server", "--port", str(port), "--bind", "127.0.0.1", *others),
            *("--save", "", "--appendonly", "no", "--requirepass", password),
            log=folder / f"redis-{port}.log",
        )
        self.port = port

    def started(self) -> Self:
        """Wait until it listens."""
        self.ready(lambda: accepts(self.port), "redis-server listened")
        return self


def server_behind(port: int) -> int:
    """Make a new connection to ``port`` and ask the Redis behind it for the port that it listens on itself.

    :raises OSError: when no Redis answers.
    """
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        connection.makefile("rb") as reader,
    ):
        connection.sendall(b"CONFIG GET port\r\n")
        # An array of two, the name and the value: *2 $4 port $5 10001
        lines = [reader.readline().strip() for _ in range(5)]
        if not lines[-1]:
            raise ConnectionError(f"no answer, only {lines}")
        return int(lines[-1])

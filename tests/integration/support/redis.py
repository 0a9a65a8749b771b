"""A real redis-server or valkey-server, and the few words of its protocol that the tests say themselves."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, ClassVar, Self

from tests.integration.support.programs import Program, accepts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


SERVERS = ("redis-server", "valkey-server")
"""Who is asked in the same way, and is to answer in the same way."""


class Redis(Program):
    """A server on a port of loopback, which keeps nothing.

    :cvar kind: which of :data:`SERVERS` is started.
    :param others: further addresses of loopback that it is reached at.
    :param password: that it wants; empty for none.
    :param certificate: a PEM file with its key; it then speaks TLS, and nothing else.
    :param more: further options.
    """

    kind: ClassVar[str] = SERVERS[0]

    def __init__(
        self,
        port: int,
        folder: Path,
        *others: str,
        password: str = "",
        certificate: Path | None = None,
        more: Sequence[str] = (),
    ) -> None:
        tls = over_tls(certificate) if certificate else []
        super().__init__(
            *(self.kind, "--tls-port" if tls else "--port", str(port), "--bind", "127.0.0.1", *others),
            *("--save", "", "--appendonly", "no", "--requirepass", password, "--masterauth", password),
            *("--repl-diskless-sync-delay", "0"),
            *(*tls, *more),
            log=folder / f"redis-{port}.log",
        )
        self.port = port

    def started(self) -> Self:
        """Wait until it listens."""
        self.ready(lambda: accepts(self.port), f"{self.kind} listened")
        return self


def over_tls(certificate: Path) -> list[str]:
    """Options of a server that speaks TLS only, to its replicas too, and asks nobody for a certificate."""
    file = str(certificate)
    return [
        *("--port", "0", "--tls-cert-file", file, "--tls-key-file", file, "--tls-ca-cert-file", file),
        *("--tls-auth-clients", "no", "--tls-replication", "yes"),
    ]


class Sentinel(Program):
    """A sentinel that watches one master, over TLS.

    :param master: the port of that master, on localhost.
    :param password: of the master, and of this sentinel.
    """

    def __init__(self, port: int, folder: Path, master: int, *, certificate: Path, password: str) -> None:
        config = folder / f"sentinel-{port}.conf"
        settings = (
            f"tls-port {port}", "bind 127.0.0.1", f"requirepass {password}",
            "sentinel resolve-hostnames yes", "sentinel announce-hostnames yes",
            f"sentinel monitor db localhost {master} 1", f"sentinel auth-pass db {password}",
            "sentinel down-after-milliseconds db 500", "sentinel failover-timeout db 3000",
        )  # fmt: skip
        config.write_text("\n".join(settings) + "\n")
        super().__init__(
            *(Redis.kind, str(config), "--sentinel", *over_tls(certificate)),
            log=folder / f"sentinel-{port}.log",
        )
        self.port = port

    def started(self) -> Self:
        """Wait until it listens."""
        self.ready(lambda: accepts(self.port), "the sentinel listened")
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

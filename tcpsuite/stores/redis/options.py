"""The options of Redis."""

from __future__ import annotations

from attrs import frozen

from tcpsuite.options import (
    ClientEndpoint,
    DirectoryPath,
    Duration,
    FilePath,
    OptionError,
    Secret,
    between,
    option,
)


def _not_empty(text: str) -> None:
    if not text:
        raise OptionError("a name", text)


@frozen
class RedisOptions:
    """The ``[redis]`` table: the Redis, or Valkey, that several machines share."""

    server: ClientEndpoint = option(
        ClientEndpoint("tcp:127.0.0.1:6379"),
        "Where it is: a Twisted client endpoint string, such as tls:redis.example.com:6379.",
    )
    sentinels: tuple[ClientEndpoint, ...] = option(
        (), "Where its sentinels are; when there are some, they say where the server is."
    )
    master: str = option("mymaster", "What the sentinels call it.", check=_not_empty)
    master_tls: bool = option(
        False,
        "Whether the server that the sentinels name speaks TLS, with a certificate for the name or address "
        "that they give.",
    )
    trust_roots: DirectoryPath = option(
        DirectoryPath(""),
        "A folder of certificates (*.pem) of those who vouch for that one; empty: whom the system trusts.",
    )
    user: str = option("", "Who logs in; empty for the default user.")
    password: Secret = option(Secret(""), "The password, better in the environment; empty for none.")
    password_file: FilePath = option(
        FilePath(""),
        "A file whose first line is the password, read for each new connection; it comes before password.",
    )
    sentinel_password: Secret = option(Secret(""), "The password of the sentinels; empty for none.")
    database: int = option(0, "The number of its database.", check=between(0, 10_000))
    prefix: str = option(
        "tcpsuite:", "What the names of all keys begin with: who shares it shares what is kept."
    )
    connections: int = option(2, "Connections that each process has to it.", check=between(1, 100))
    timeout: Duration = option(
        Duration(2.0),
        "Each question to it fails when it takes longer; a request may take several, one after the other.",
        check=between(0.05, 60, "seconds"),
    )
    lease: Duration = option(
        # Some attempts to connect, and longer than a failover mostly takes.
        Duration(10.0),
        "What a process has of shared limits is free again so long after it was last heard of.",
        check=between(3, 50, "seconds"),
    )

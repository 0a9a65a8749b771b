"""What an operator may change of an upstream while it runs, and what he has changed."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.logger import Logger

from tcpsuite.core.connections import Reason
from tcpsuite.core.servers import Administration, Server
from tcpsuite.errors import ChangeRefused, StartError
from tcpsuite.net.endpoints import Parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tcpsuite.interfaces import IConnectionPool
    from tcpsuite.net.members import Members

MAX_WEIGHT = 256
"""The weight of a server at most."""


@frozen
class Change:
    """Something that is not as the configuration says, because an operator changed it."""

    server: str
    """Empty for the upstream itself."""
    what: str
    """``state``, ``weight``, ``added``, ``removed`` or ``paused``."""
    configured: Any
    now: Any


class Operator:
    """Changes the servers of one upstream, within bounds.

    :param members: the servers.
    :param networks: where servers that are added may be, as CIDR; without any none may be.
    :param make_pool: makes the pool of a server that is added.
    """

    log = Logger()

    def __init__(
        self,
        members: Members,
        networks: Sequence[str] = (),
        make_pool: Callable[[Server], IConnectionPool] | None = None,
    ) -> None:
        self._members = members
        self._networks = tuple(ip_network(network) for network in networks)
        self._make_pool = make_pool
        self._configured = {server: members.weights[server] for server in members.servers}
        self._removed: dict[str, Server] = {}

    def __repr__(self) -> str:
        return f"<Operator of {self._members.upstream} changes={len(self.changes())}>"

    def administer(self, name: str, administration: Administration) -> None:
        """Take a server out, let it run empty, or leave it to its health again.

        :raises ChangeRefused: when there is no such server.
        """
        self._members.administer(self._members.server(name), administration)

    def set_weight(self, name: str, weight: int) -> None:
        """Give a server another share of new connections.

        :raises ChangeRefused: when there is no such server, or a server can have no such weight.
        """
        server = self._members.server(name)
        if not 0 <= weight <= MAX_WEIGHT:
            raise ChangeRefused(f"expected a weight from 0 to {MAX_WEIGHT}, got {weight!r}")
        self._members.weights.set(server, weight)
        self._members.refresh()

    def kill_connections(self, name: str) -> int:
        """Reset the connections to a server; clients for which one is being made are tried with others.

        :return: how many there were of both.
        :raises ChangeRefused: when there is no such server.
        """
        server = self._members.server(name)
        return self._members.cut(server, Reason.CUT, f"the operator cut the connections to {name}")

    def add(self, server: Server) -> None:
        """One server more.  Its first health check decides whether it is up.

        :raises ChangeRefused: when its name is taken, its weight is none, its address is in none of the
            networks, or its pool cannot be built.
        """
        if any(known.name == server.name for known in self._members.servers):
            raise ChangeRefused(f"upstream {self._members.upstream} has a server {server.name!r} already")
        if not 0 <= server.weight <= MAX_WEIGHT:
            raise ChangeRefused(f"expected a weight from 0 to {MAX_WEIGHT}, got {server.weight!r}")
        if self._make_pool is None or not self._networks:
            raise ChangeRefused(
                f"upstream {self._members.upstream} takes no server while it runs: "
                "its option networks names none that it could be in"
            )
        self._check_address(server.address)
        try:
            pool = self._make_pool(server)
        except StartError as error:  # one of somebody's own
            raise ChangeRefused(str(error)) from error
        self._members.add(server, pool)
        before = self._removed.get(server.name)
        if before is not None and _is_alike(before, server):
            del self._removed[server.name]
            self._configured[server] = self._configured.pop(before)

    def remove(self, name: str, force: bool = False) -> None:
        """Forget a server.

        :param force: whether its connections are reset; else it must have none.
        :raises ChangeRefused: when there is no such server, it has connections, or it is the last one.
        """
        server = self._members.server(name)
        if len(self._members.servers) == 1:
            raise ChangeRefused(f"{name} is the last server of upstream {self._members.upstream}")
        if server.active and not force:
            many = "1 connection" if server.active == 1 else f"{server.active} connections"
            raise ChangeRefused(
                f"server {name} of upstream {self._members.upstream} has {many}: drain it, or kill them"
            )
        if server in self._configured:
            self._removed[name] = server
        self._members.remove(server, f"the operator removed {name}")

    def status(self, server: Server) -> dict[str, Any]:
        """What the configuration says of a server, beside what it is: its ``configured_weight``, ``None`` for
        one that was ``added``.
        """
        weight = self._configured.get(server)
        return {"configured_weight": weight, "added": weight is None}

    def changes(self) -> list[Change]:
        """What is not as configured.  A server that was removed and added again as it was, is."""
        found = [Change(name, "removed", each.address, None) for name, each in self._removed.items()]
        for server in self._members.servers:
            configured, weight = self._configured.get(server), self._members.weights[server]
            if configured is None:
                found.append(Change(server.name, "added", None, server.address))
            elif configured != weight:
                found.append(Change(server.name, "weight", configured, weight))
            if server.administration is not Administration.READY:
                state = server.administration.value
                found.append(Change(server.name, "state", Administration.READY.value, state))
        return found

    def _check_address(self, address: str) -> None:
        """From the network no name of code is taken, and no path: only an address in one of the networks."""
        parts = Parts.of(address)
        given = parts.given("host", "port")
        host = given.get("host", "")
        try:
            where = ip_address(host)
        except ValueError:
            where = None
        plain = parts.type == "tcp" and not parts.proxied and len(parts.places) + len(parts.names) == 2
        if where is None or not plain or not _is_port(given.get("port", "")):
            raise ChangeRefused(f"expected an address such as tcp:10.0.0.1:5432, got {address!r}")
        if not any(where in network for network in self._networks):
            networks = ", ".join(map(str, self._networks))
            raise ChangeRefused(
                f"{host} is in none of the networks of upstream {self._members.upstream}: {networks}"
            )


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) <= 65_535


def _is_alike(before: Server, now: Server) -> bool:
    """Whether two servers differ in nothing that is configured, but perhaps in their weight."""
    return (before.address, before.backup, before.max_connections) == (
        now.address,
        now.backup,
        now.max_connections,
    )

"""Who may look in: the checks that stand before every page of the admin listener.

A web page that a browser shows can send requests to this machine, under a name that its owner points here.
So a request must carry a Host that is ours, and an Origin, when there is one, that is that same host.
"""

from __future__ import annotations

import hmac
import re
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?")


@frozen
class Refusal:
    """Why a request is not answered: the HTTP status, and a line for people."""

    code: int
    text: str


class Guard:
    """Checks the headers of requests.

    :param hosts: names that a Host may carry besides those of loopback and the address that was reached.
    :param token: what ``Authorization: Bearer`` must carry; empty when nothing need be shown.

    The headers that it checks are bytes that were decoded as Latin-1: peers may send any.
    """

    def __init__(self, hosts: Iterable[str], token: str) -> None:
        self._hosts = LOOPBACK | {host.lower() for host in hosts}
        self._token = token.encode()

    def check(self, hosts: Sequence[str], origins: Sequence[str], reached: str) -> Refusal | None:
        """Whether a request came to us, and from no other site's page.

        :param hosts: its Host headers.
        :param origins: its Origin headers.
        :param reached: the address of ours that the connection was made to; empty for a UNIX socket.
        """
        # A client of HTTP/1.0, as load balancers' probes are, may name no host; a browser always does.
        if hosts and (len(hosts) > 1 or not self._is_ours(hosts[0].lower(), reached)):
            return Refusal(403, "this Host is not ours: name it in [admin] hosts")
        for origin in origins:
            scheme, _, host = origin.partition("://")
            if scheme not in {"http", "https"} or [host.lower()] != [each.lower() for each in hosts]:
                return Refusal(403, "pages of other sites may not ask here")
        return None

    def check_token(self, authorizations: Sequence[str]) -> Refusal | None:
        """Whether a request shows the token, if one is wanted; ``authorizations`` are those headers."""
        if not self._token:
            return None
        if len(authorizations) == 1:
            scheme, _, shown = authorizations[0].partition(" ")
            right = hmac.compare_digest(shown.strip().encode("latin-1", "replace"), self._token)
            if right and scheme.lower() == "bearer":
                return None
        return Refusal(401, "this wants the header Authorization: Bearer TOKEN")

    def _is_ours(self, host: str, reached: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1] or match[2]
        return name in self._hosts or (bool(reached) and _plain(name) == _plain(reached))


def _plain(text: str) -> str:
    """One way to write an address; a name as it is."""
    try:
        address = ip_address(text)
    except ValueError:
        return text
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)

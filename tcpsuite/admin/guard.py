"""Who may look in: the checks that stand before every page of the admin listener.

A web page that a browser shows can send requests to this machine, under a name that its owner points here.
So a request must carry a Host that is ours, and an Origin, when there is one, that is that same host.  What
changes something must be JSON besides, which no form of another page can send unasked.
"""

from __future__ import annotations

import hmac
import re
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from attrs import Factory, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?")


@frozen
class Refusal:
    """Why a request is not answered.

    :ivar code: the HTTP status.
    :ivar text: a line for people.
    :ivar headers: what belongs to that status.
    :ivar more: what a program may want to know beside the line.
    """

    code: int
    text: str
    headers: Mapping[str, str] = Factory(dict)
    more: Mapping[str, Any] = Factory(dict)


class Guard:
    """Checks the headers of requests.

    :param hosts: names that a Host may carry besides those of loopback and the address that was reached.
    :param token: what ``Authorization: Bearer`` must carry; empty when nothing need be shown.
    :param proxied: whether the peers' proxies tell what address they reached, and so may tell anything.

    The headers that it checks are bytes that were decoded as Latin-1: peers may send any.
    """

    def __init__(self, hosts: Iterable[str], token: str, *, proxied: bool = False) -> None:
        self._hosts = LOOPBACK | {host.lower() for host in hosts}
        self._token = token.encode()
        self._proxied = proxied

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
        wanted = {"WWW-Authenticate": 'Bearer realm="tcpsuite"'}
        return Refusal(401, "this wants the header Authorization: Bearer TOKEN", wanted)

    def check_change(self, content_types: Sequence[str], reached: str, peer: str) -> Refusal | None:
        """Whether a request that was let in may change something: without a token, only on this machine.

        Both ends count: a rule of the kernel's can lead others to an address of loopback.

        :param content_types: its Content-Type headers.
        :param reached: as for :meth:`check`.
        :param peer: the address that it came from; empty for a UNIX socket.
        """
        if not self._token and (self._proxied or not (_is_here(reached) and _is_here(peer))):
            return Refusal(403, "changes want a token here: set [admin] token, or ask over loopback")
        kinds = [each.partition(";")[0].strip().lower() for each in content_types]
        if kinds != ["application/json"]:
            return Refusal(415, "a change is sent as Content-Type: application/json")
        return None

    def _is_ours(self, host: str, reached: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1] or match[2]
        return name in self._hosts or (bool(reached) and _plain(name) == _plain(reached))


def _is_here(address: str) -> bool:
    """Whether only this machine has an address; a UNIX socket has none."""
    try:
        return not address or ip_address(_plain(address)).is_loopback
    except ValueError:
        return False


def _plain(text: str) -> str:
    """One way to write an address; a name as it is."""
    try:
        address = ip_address(text)
    except ValueError:
        return text
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)

"""Numeric addresses need nobody to resolve them."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IHostResolution
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Sequence


@implementer(IHostResolution)
class _Resolved:
    """A resolution that was over when it began."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """There is nothing left to cancel."""


@implementer(IHostnameResolver)
class NumericResolver:
    """Answers numeric addresses at once, and has another resolver answer names.

    Twisted's own asks ``getaddrinfo`` in a thread for both.

    :param names: the other one.
    """

    def __init__(self, names: IHostnameResolver) -> None:
        self._names = names

    def __repr__(self) -> str:
        return f"<NumericResolver before {self._names!r}>"

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[Any]] | None = None,
        transportSemantics: Any = "TCP",
    ) -> Any:
        """Resolve ``hostName``: see ``IHostnameResolver``."""
        kind: type[IPv4Address | IPv6Address]
        if isIPAddress(hostName):
            kind, family = IPv4Address, socket.AF_INET
        elif isIPv6Address(hostName):
            kind, family = IPv6Address, socket.AF_INET6
        else:
            return self._names.resolveHostName(
                resolutionReceiver, hostName, portNumber, addressTypes, transportSemantics
            )
        resolved = _Resolved(hostName)
        resolutionReceiver.resolutionBegan(resolved)
        if addressTypes is None or kind in addressTypes:
            # Numeric, so nobody is asked; but it knows the number of the interface behind a "%".
            with suppress(socket.gaierror):
                found = socket.getaddrinfo(hostName, portNumber, family, 0, 0, socket.AI_NUMERICHOST)
                resolutionReceiver.addressResolved(kind(transportSemantics, *found[0][4]))
        resolutionReceiver.resolutionComplete()
        return resolved

"""Tests for tcpsuite.net.resolving."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tcpsuite.net.resolving import NumericResolver


@implementer(IHostnameResolver)
class Names:
    """Remembers what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def resolveHostName(
        self, resolutionReceiver, hostName, portNumber=0, addressTypes=None, transportSemantics="TCP"
    ) -> Any:
        self.asked.append((hostName, portNumber, addressTypes, transportSemantics))
        return self


@implementer(IResolutionReceiver)
class Receiver:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        self.told.append(resolutionInProgress.name)

    def addressResolved(self, address: Any) -> None:
        self.told.append(address)

    def resolutionComplete(self) -> None:
        self.told.append("complete")


class NumericResolverTests(SynchronousTestCase):
    """Addresses and names."""

    def setUp(self) -> None:
        self.names = Names()
        self.resolver = NumericResolver(self.names)
        self.receiver = Receiver()

    def test_interfaces(self) -> None:
        """It is a resolver, and gives a resolution."""
        verifyObject(IHostnameResolver, self.resolver)
        resolution = self.resolver.resolveHostName(self.receiver, "127.0.0.1")
        verifyObject(IHostResolution, resolution)
        resolution.cancel()

    def test_ipv4(self) -> None:
        """An IPv4 address is itself, at once, and nobody is asked."""
        self.resolver.resolveHostName(self.receiver, "192.0.2.1", 80)
        self.assertEqual(self.receiver.told, ["192.0.2.1", IPv4Address("TCP", "192.0.2.1", 80), "complete"])
        self.assertEqual(self.names.asked, [])

    def test_ipv6(self) -> None:
        """So is an IPv6 address, of a datagram too."""
        self.resolver.resolveHostName(self.receiver, "2001:db8::1", 53, transportSemantics="UDP")
        self.assertEqual(
            self.receiver.told, ["2001:db8::1", IPv6Address("UDP", "2001:db8::1", 53), "complete"]
        )

    def test_scope(self) -> None:
        """The interface behind a link-local address has its number."""
        self.resolver.resolveHostName(self.receiver, "fe80::1%lo", 1)
        self.assertEqual(self.receiver.told[1].scopeID, 1)

    def test_unknown_scope(self) -> None:
        """With an interface that there is not, there is no address."""
        self.resolver.resolveHostName(self.receiver, "fe80::1%none", 1)
        self.assertEqual(self.receiver.told, ["fe80::1%none", "complete"])

    def test_of_another_type(self) -> None:
        """Who wants addresses of the other type gets none."""
        self.resolver.resolveHostName(self.receiver, "192.0.2.1", 80, [IPv6Address])
        self.assertEqual(self.receiver.told, ["192.0.2.1", "complete"])

    def test_name(self) -> None:
        """A name is for the other resolver, whose resolution is given."""
        given = self.resolver.resolveHostName(self.receiver, "a.example", 80, [IPv4Address], "UDP")
        self.assertIs(given, self.names)
        self.assertEqual(self.names.asked, [("a.example", 80, [IPv4Address], "UDP")])
        self.assertEqual(self.receiver.told, [])

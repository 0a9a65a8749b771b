"""Tests for tcpsuite.net.resolving."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet._resolver import GAIResolver
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.base import PluggableResolverMixin
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tcpsuite.net.resolving import (
    FRESH,
    LATE,
    MOST_NAMES,
    OVERDUE,
    STALE,
    NameResolver,
    NumericResolver,
    Question,
    install,
)


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


class Lookups:
    """Looks nothing up: the test says what was found."""

    def __init__(self) -> None:
        self.asked: list[tuple[Question, Deferred[Any]]] = []

    def __call__(self, question: Question) -> Deferred[Any]:
        looking: Deferred[Any] = Deferred()
        self.asked.append((question, looking))
        return looking

    def found(self, *hosts: str) -> None:
        """The answer to the latest."""
        self.asked[-1][1].callback(tuple(IPv4Address("TCP", host, 0) for host in hosts))

    def failed(self, error: Exception) -> None:
        """The latest fails."""
        self.asked[-1][1].errback(error)


class NameResolverTests(SynchronousTestCase):
    """Names, looked up once for all who ask."""

    def setUp(self) -> None:
        self.clock, self.lookups = Clock(), Lookups()
        self.resolver = NameResolver(self.clock, self.lookups)

    def ask(self, name: str = "a.example", port: int = 80, **how: Any) -> Receiver:
        receiver = Receiver()
        self.resolver.resolveHostName(receiver, name, port, **how)
        return receiver

    def hosts(self, receiver: Receiver) -> list[str] | None:
        """What somebody was told, all of it; ``None`` before."""
        began, *addresses = receiver.told
        self.assertEqual(began, "a.example")
        if not addresses:
            return None
        self.assertEqual(addresses.pop(), "complete")
        return [address.host for address in addresses]

    def know(self, *hosts: str) -> None:
        """Have looked it up, so long ago that it is looked up again."""
        self.ask()
        self.lookups.found(*hosts)
        self.clock.advance(FRESH)

    def test_interfaces(self) -> None:
        """It is a resolver, and gives a resolution."""
        verifyObject(IHostnameResolver, self.resolver)
        verifyObject(IHostResolution, self.resolver.resolveHostName(Receiver(), "a.example"))

    def test_one_lookup_for_all(self) -> None:
        """Who asks while a name is looked up waits for that, each for the port of its own."""
        first, second = self.ask(port=80), self.ask(port=443)
        self.assertEqual(len(self.lookups.asked), 1)
        self.assertEqual(repr(self.resolver), "<NameResolver knows 0, looks up 1>")
        self.lookups.found("192.0.2.1", "192.0.2.2")
        self.assertEqual(self.hosts(first), ["192.0.2.1", "192.0.2.2"])
        self.assertEqual([each.port for each in second.told[1:-1]], [443, 443])
        self.assertEqual(repr(self.resolver), "<NameResolver knows 1, looks up 0>")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_other_questions(self) -> None:
        """Another name, family or kind of socket is another question."""
        self.ask()
        self.ask("b.example")
        self.ask(addressTypes=[IPv6Address])
        self.ask(transportSemantics="UDP")
        self.assertEqual(
            [tuple(question) for question, _ in self.lookups.asked],
            [
                ("a.example", socket.AF_UNSPEC, "TCP"),
                ("b.example", socket.AF_UNSPEC, "TCP"),
                ("a.example", socket.AF_INET6, "TCP"),
                ("a.example", socket.AF_UNSPEC, "UDP"),
            ],
        )

    def test_remembered(self) -> None:
        """An answer is given again for 5 s, at once; then the name is looked up again."""
        self.ask()
        self.lookups.found("192.0.2.1")
        self.clock.advance(FRESH - 0.1)
        self.assertEqual(self.hosts(self.ask()), ["192.0.2.1"])
        self.assertEqual(len(self.lookups.asked), 1)
        self.clock.advance(0.1)
        asking = self.ask()
        self.assertIsNone(self.hosts(asking))
        self.lookups.found("192.0.2.7")
        self.assertEqual(self.hosts(asking), ["192.0.2.7"])

    def test_late(self) -> None:
        """The last good answer is given when a lookup takes half a second, and to who asks meanwhile; what
        the lookup finds in the end is good for the next.
        """
        self.know("192.0.2.1")
        waiting = self.ask()
        self.clock.advance(LATE - 0.1)
        self.assertIsNone(self.hosts(waiting))
        self.clock.advance(0.1)
        self.assertEqual(self.hosts(waiting), ["192.0.2.1"])
        self.assertEqual(self.hosts(self.ask()), ["192.0.2.1"])
        self.assertEqual(len(self.lookups.asked), 2)
        self.lookups.found("192.0.2.7")
        self.assertEqual(self.hosts(self.ask()), ["192.0.2.7"])
        self.assertEqual(self.hosts(waiting), ["192.0.2.1"])

    def test_overdue(self) -> None:
        """Where there is no good answer, 30 s are waited; then there is none, for who asks meanwhile too."""
        waiting = self.ask()
        self.clock.advance(OVERDUE - 0.1)
        self.assertIsNone(self.hosts(waiting))
        self.clock.advance(0.1)
        self.assertEqual(self.hosts(waiting), [])
        self.assertEqual(self.hosts(self.ask()), [])
        self.assertEqual(len(self.lookups.asked), 1)

    def test_failed(self) -> None:
        """When no name server answers, the last good answer holds; the log says so once, and its end."""
        self.know("192.0.2.1")
        with capturedLogs() as logged:
            for _ in range(2):
                asking = self.ask()
                self.lookups.failed(socket.gaierror(socket.EAI_AGAIN, "no server answers"))
                self.assertEqual(self.hosts(asking), ["192.0.2.1"])
            self.ask()
            self.lookups.found("192.0.2.1")
        self.assertEqual(
            [formatEvent(event) for event in logged],
            [
                "a.example cannot be looked up (no server answers): its last answer holds",
                "a.example is found again",
            ],
        )

    def test_failed_at_first(self) -> None:
        """Where there is none, nothing is found, and the next one asks anew; nothing is logged."""
        with capturedLogs() as logged:
            asking = self.ask()
            self.lookups.failed(RuntimeError("no thread"))
            self.assertEqual(self.hosts(asking), [])
        self.assertEqual(logged, [])
        self.assertIsNone(self.hosts(self.ask()))

    def test_stale(self) -> None:
        """A day later an answer is not given any more."""
        self.know("192.0.2.1")
        self.clock.advance(STALE)
        asking = self.ask()
        self.lookups.failed(socket.gaierror(socket.EAI_AGAIN, "no server answers"))
        self.assertEqual(self.hosts(asking), [])

    def test_no_such_name(self) -> None:
        """A name that there is no more, or that can be none, is forgotten."""
        for error in (socket.gaierror(socket.EAI_NONAME, "unknown"), UnicodeError("label too long")):
            self.know("192.0.2.1")
            asking = self.ask()
            self.lookups.failed(error)
            self.assertEqual(self.hosts(asking), [])
            asking = self.ask()
            self.lookups.failed(socket.gaierror(socket.EAI_AGAIN, "no server answers"))
            self.assertEqual(self.hosts(asking), [])

    def test_many_names(self) -> None:
        """Of more than a thousand names the one found least lately is forgotten."""
        for number in range(MOST_NAMES + 1):
            self.ask(f"{number}.example")
            self.lookups.found("192.0.2.1")
        self.assertEqual(repr(self.resolver), f"<NameResolver knows {MOST_NAMES}, looks up 0>")
        before = len(self.lookups.asked)
        self.ask("1.example")
        self.assertEqual(len(self.lookups.asked), before)
        self.ask("0.example")
        self.assertEqual(len(self.lookups.asked), before + 1)

    def test_cancelled(self) -> None:
        """Who has given up is told nothing; the others are."""
        receiver = Receiver()
        resolution = self.resolver.resolveHostName(receiver, "a.example")
        other = self.ask()
        resolution.cancel()
        self.lookups.found("192.0.2.1")
        self.assertIsNone(self.hosts(receiver))
        self.assertEqual(self.hosts(other), ["192.0.2.1"])

    def test_receiver_that_fails(self) -> None:
        """One who cannot be told is logged, and the others are told."""
        receiver = Receiver()
        receiver.resolutionComplete = lambda: 1 / 0  # type: ignore[method-assign, assignment]
        self.resolver.resolveHostName(receiver, "a.example")
        other = self.ask()
        self.lookups.found("192.0.2.1")
        self.assertEqual(self.hosts(other), ["192.0.2.1"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class InstallTests(SynchronousTestCase):
    """Whose resolver is replaced."""

    def test_twisted(self) -> None:
        """Twisted's own is, once."""
        reactor: Any = PluggableResolverMixin()
        reactor.installNameResolver(GAIResolver(reactor, lambda: self.fail("no thread is wanted")))
        install(reactor)
        resolver = reactor.nameResolver
        self.assertIsInstance(resolver, NumericResolver)
        install(reactor)
        self.assertIs(reactor.nameResolver, resolver)

    def test_somebodys_own(self) -> None:
        """One that somebody has installed stays, and a reactor that has none gets none."""
        reactor, names = PluggableResolverMixin(), Names()
        reactor.installNameResolver(names)
        install(reactor)
        self.assertIs(reactor.nameResolver, names)
        install(Clock())

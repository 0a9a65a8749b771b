"""From the words of the file to what watches the servers."""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.core.servers import Server
from tcpsuite.errors import StartError
from tcpsuite.interfaces import IHealthCheck, Outcome
from tcpsuite.net.checks import CHECKS, build_checker, build_ejector
from tcpsuite.net.checks.naming import authority_namer, host_namer
from tcpsuite.net.health_options import TYPES, HealthOptions
from tcpsuite.options import Duration, Provider, Secret


class BuildTests(SynchronousTestCase):
    """What is built, and what is not."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.server = Server("a", "tcp:192.0.2.1:5432")

    def build(self, options: HealthOptions):
        return build_checker("db", [self.server], options, self.reactor, random.Random(1))

    def test_modes(self) -> None:
        """Without a mode nothing watches; passive asks nobody; active ejects nobody."""
        self.assertIsNone(self.build(HealthOptions("none")))
        self.assertIsNone(build_ejector([self.server], HealthOptions("none")))
        self.assertIsNone(build_ejector([self.server], HealthOptions("active")))
        for mode, asked in (("passive", 0), ("active", 1), ("hybrid", 1)):
            self.setUp()
            checker = self.build(HealthOptions(mode))
            checker.start()
            self.reactor.advance(1)
            self.assertEqual(len(self.reactor.tcpClients), asked, mode)
            checker.stop()

    def test_ejector(self) -> None:
        """The ejector knows the servers, and has the numbers of the table."""
        options = HealthOptions(
            "passive", ejection_errors=2, ejection_time=Duration(3.0), max_ejection_time=Duration(5.0)
        )
        ejector = build_ejector([self.server, Server("b", "tcp:192.0.2.2:1")], options)
        assert ejector is not None
        lasted = []
        for now in (0.0, 5.0):
            self.assertIsNone(ejector.observe("a", False, now))
            ejection = ejector.observe("a", False, now)
            assert ejection is not None
            lasted.append(ejection.seconds)
            ejector.returning(now + 5)
        self.assertEqual(lasted, [3.0, 5.0])

    def test_intervals(self) -> None:
        """The waits are those of the table; with nothing said a server that is down is asked every 10 s."""
        for options, expected in (
            (HealthOptions(), (8.0, 12.0)),
            (HealthOptions(interval=Duration(30.0)), (48.0, 72.0)),
            (HealthOptions(down_interval=Duration(20.0)), (16.0, 24.0)),
        ):
            self.setUp()
            checker = self.build(options)
            checker.start()
            self.reactor.advance(0.2)
            self.reactor.advance(2.0)  # the time-out of the first check takes it down
            self.assertFalse(self.server.up)
            (call,) = self.reactor.getDelayedCalls()
            wait = call.getTime() - self.reactor.seconds()
            self.assertTrue(expected[0] <= wait <= expected[1], wait)
            checker.stop()

    def test_every_type(self) -> None:
        """Every type that the file may name is built, and says what it is."""
        self.assertEqual(tuple(CHECKS), TYPES)
        said = []
        for kind in TYPES:
            expect = "PONG" if kind == "send_expect" else ""
            check = CHECKS[kind](self.reactor, HealthOptions(type=Provider(kind), expect=expect))
            said.append(repr(check))
        self.assertEqual(
            said,
            [
                "<TCPCheck timeout=2>",
                "<TalkCheck <SendExpect b'' b'PONG'> timeout=2>",
                "<TalkCheck <Redis> timeout=2>",
                "<TalkCheck <PostgreSQL> timeout=2>",
                "<TalkCheck <SMTP> timeout=2>",
                "<TalkCheck <HTTP GET /> timeout=2>",
                "<TLSCheck timeout=2>",
            ],
        )

    def test_options_of_the_types(self) -> None:
        """What the table says of a type reaches it."""
        for options, expected in (
            (
                HealthOptions(type=Provider("send_expect"), send=r"a\n", expect_regex="^b"),
                r"<TalkCheck <SendExpect b'a\n' b'^b'> timeout=2>",
            ),
            (
                HealthOptions(type=Provider("redis"), password=Secret("x")),
                "<TalkCheck <Redis with a password> timeout=2>",
            ),
            (HealthOptions(type=Provider("http"), path="/ok"), "<TalkCheck <HTTP GET /ok> timeout=2>"),
            (HealthOptions(type=Provider("tls"), verify=True), "<TLSCheck timeout=2 verify>"),
        ):
            self.assertEqual(repr(CHECKS[options.type](self.reactor, options)), expected)

    def test_somebodys_own(self) -> None:
        """``module:attribute`` is called with the reactor and the time-out; what is no check is refused."""
        own = Provider(f"{__name__}:Own")
        checker = self.build(HealthOptions(type=own, timeout=Duration(7.0)))
        checker.start()
        self.reactor.advance(1)
        self.assertEqual(checker.report()["a"]["checks"]["latency"]["max"], 7.0)
        checker.stop()
        with self.assertRaisesRegex(StartError, f"upstream db: {__name__}:nothing cannot be used"):
            self.build(HealthOptions(type=Provider(f"{__name__}:nothing")))


@implementer(IHealthCheck)
class Own:
    """Somebody's own check."""

    def __init__(self, reactor: object, timeout: float) -> None:
        self.timeout = timeout

    def check(self, server: Server) -> Deferred[Outcome]:
        """Well, in so many seconds as the time-out has."""
        answer: Deferred[Outcome] = Deferred()
        answer.callback(Outcome(True, seconds=self.timeout))
        return answer


class NamingTests(SynchronousTestCase):
    """What a server is called."""

    def test_by_its_address(self) -> None:
        """The host of its address, and for HTTP its port unless that is the usual one."""
        for address, host, authority in (
            ("tcp:192.0.2.1:8080", "192.0.2.1", "192.0.2.1:8080"),
            ("tcp:host=web.example:port=80", "web.example", "web.example"),
            ("tls:web.example:443", "web.example", "web.example"),
            ("tls:web.example:80", "web.example", "web.example:80"),
            (r"tcp:\:\:1:81", "::1", "[::1]:81"),
            ("unix:/run/web.sock", "localhost", "localhost"),
        ):
            server = Server("a", address)
            self.assertEqual((host_namer("")(server), authority_namer("")(server)), (host, authority))

    def test_by_a_given_name(self) -> None:
        """A name that is given is taken as it is."""
        server = Server("a", "tcp:192.0.2.1:8080")
        self.assertEqual(
            [namer("x.example")(server) for namer in (host_namer, authority_namer)], ["x.example"] * 2
        )

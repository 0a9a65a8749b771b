"""Tests for tcpsuite.config.carried: what makes no sense where connections are streams."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.config.support import ECHO, ROOMY, Folder

GATEWAY = """
[listener.core]
endpoint = {endpoint}
service = "gateway"
upstream = "redis"

[upstream.redis]
servers = [{{ name = "a", address = "tcp:10.0.0.1:6379" }}]
{more}
"""


class CarriedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)

    def gateway(self, more: str, endpoint: str = '"mux:tcp:7379"') -> str:
        """One that leads streams to an upstream."""
        return GATEWAY.format(endpoint=endpoint, more=more)

    def test_by_address(self) -> None:
        """What goes by the client's address is refused where streams carry none, and says so."""
        for option, value in (("strategy", "ip_hash"), ("affinity", "ip")):
            more = f'{option} = "{value}"'
            (line,) = self.folder.faults(self.gateway(more))
            self.assertIn(
                f"upstream.redis.{option}: expected nothing that goes by clients' addresses, for streams to "
                f"listener core carry none, got '{value}'",
                line,
            )
            (line,) = self.folder.faults(self.gateway(more, '["tcp:6379", "mux:tcp:7379"]'))
            self.assertIn(f"upstream.redis.{option}", line)
            self.folder.load(self.gateway(more, '"tcp:6379"'))

    def test_once(self) -> None:
        """It is told once, whichever listeners lead there; other strategies go by no address."""
        again = self.gateway('strategy = "ip_hash"') + (
            '[listener.more]\nendpoint = "mux:tcp:7380"\nservice = "gateway"\nupstream = "redis"\n'
        )
        self.assertEqual(len(self.folder.faults(again)), 1)
        self.folder.load(self.gateway('strategy = "least_connections"'))

    def test_sessions(self) -> None:
        """The servers that sessions are attached to are found by an address too."""
        text = self.gateway('strategy = "ip_hash"', '"tcp:6379"') + '[sessions]\nupstream = "redis"\n'
        session = '[listener.login]\nendpoint = "{}"\nservice = "session"\nanonymous = true\n'
        self.folder.load(text + session.format("tcp:7400"))
        (line,) = self.folder.faults(text + session.format("mux:tcp:7400"))
        self.assertIn("for streams to listener login carry none", line)

    def test_descriptors(self) -> None:
        """A stream takes no descriptor, on either side; but a server that may be added may take some."""
        few = evolve(ROOMY, descriptors=12_000, local_ports=2_000)

        def doubts(server: str, endpoint: str, more: str = "") -> list[str]:
            text = self.gateway(more, f'"{endpoint}"').replace("tcp:10.0.0.1:6379", server)
            return [
                line
                for line in self.folder.lines(self.folder.load(text, machine=few).doubts)
                if "many" in line
            ]

        plain, carried = "tcp:10.0.0.1:6379", "mux:tcp:10.0.0.1:6379"
        self.assertIn("want 20100 descriptors", doubts(plain, "tcp:6379")[0])
        self.assertEqual(doubts(carried, "tcp:6379"), [])
        self.assertEqual(doubts(plain, "mux:tcp:7379"), [])
        self.assertEqual(doubts(carried, "mux:tcp:7379"), [])
        self.assertIn("want 20100", doubts(carried, "tcp:6379", 'networks = ["10.0.0.0/8"]')[0])

    def test_ports(self) -> None:
        """Streams to a server take no port each."""
        few = evolve(ROOMY, local_ports=2_000)
        for server, told in (("tcp:10.0.0.1:6379", 1), ("mux:tcp:10.0.0.1:6379", 0)):
            text = self.gateway("", '"tcp:6379"').replace("tcp:10.0.0.1:6379", server)
            lines = self.folder.lines(self.folder.load(text, machine=few).doubts)
            self.assertEqual(sum("ports for them" in line for line in lines), told)

    def test_of_no_use(self) -> None:
        """What is asked of connections that carry streams says nothing where there are none."""
        own = "[listener.echo.mux]\nmax_streams = 5\n"
        (line,) = self.folder.lines(self.folder.load(ECHO + own, machine=ROOMY).doubts)
        self.assertIn("listener.echo.mux.max_streams: it says nothing without an endpoint mux:", line)
        carried = '[listener.echo]\nendpoint = "mux:tcp:7007"\nservice = "echo"\n'
        self.assertEqual(self.folder.load(carried + own, machine=ROOMY).doubts, ())

"""``tcpsuite:``, the endpoint string for any Twisted program."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from attrs import fields
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint, IStreamServerEndpointStringParser
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactor
from twisted.internet.threads import deferToThread
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tcpsuite.net import tuned
from tcpsuite.net.socket_options import ListenerSocketOptions, apply
from tests.support.sockets import backlog, settings

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parents[2] / "docs"

CLIENTS = 100


class Accepting(Factory):
    """Keeps the transports of those that came.

    :ivar arrived: called for each.
    """

    noisy = False

    def __init__(self) -> None:
        self.transports: list[Any] = []
        self.arrived: Callable[[], None] = lambda: None

    def buildProtocol(self, addr: Any) -> Protocol:
        protocol = Protocol()
        protocol.connectionMade = lambda: self._keep(protocol.transport)  # type: ignore[method-assign]
        return protocol

    def _keep(self, transport: Any) -> None:
        self.transports.append(transport)
        self.arrived()


@pytest.fixture
def listen():
    """Listens on an endpoint string; gives the port and a factory that keeps who comes."""
    ports = []

    async def listen(text):
        factory = Accepting()
        ports.append(await serverFromString(reactor, text).listen(factory))
        return ports[-1], factory

    yield listen
    for port in ports:
        pytest_twisted.blockon(maybeDeferred(port.stopListening))


async def visit(address: Any, *factories: Accepting, clients: int = 1) -> list[socket.socket]:
    """Connect so often, and wait until all are accepted."""
    done: Deferred[None] = Deferred()

    def arrived() -> None:
        if sum(len(factory.transports) for factory in factories) == clients:
            done.callback(None)

    for factory in factories:
        factory.arrived = arrived
    visitors = [socket.create_connection((address.host, address.port), 20) for _ in range(clients)]
    await done.addTimeout(20, reactor)
    return visitors


@pytest.mark.parametrize("interface", ["127.0.0.1", r"\:\:1"])
@pytest_twisted.ensureDeferred
async def test_two_listeners_share_a_port(listen, interface):
    """With reusePort two listen on one port of one address, and both get connections."""
    first, one = await listen(f"tcpsuite:0:interface={interface}:reusePort=yes")
    number = first.getHost().port
    second, other = await listen(f"tcpsuite:{number}:interface={interface}:reusePort=yes")
    assert second.getHost() == first.getHost()
    for visitor in await visit(first.getHost(), one, other, clients=CLIENTS):
        visitor.close()
    # A fair coin that falls on one side a hundred times would be a wonder.
    assert one.transports
    assert other.transports


@pytest_twisted.ensureDeferred
async def test_a_port_is_shared_only_by_those_who_want_it(listen):
    """Without reusePort a port is one's own, whatever the other wants; after a restart it is free at once."""
    for first, second in [("no", "yes"), ("yes", "no"), ("no", "no")]:
        port, factory = await listen(f"tcpsuite:0:interface=127.0.0.1:reusePort={first}")
        number = port.getHost().port
        again = f"tcpsuite:{number}:interface=127.0.0.1:reusePort={second}"
        with pytest.raises(CannotListenError):
            await listen(again)
        # Who closes first is left in TIME_WAIT.
        (visitor,) = await visit(port.getHost(), factory)
        factory.transports[0].loseConnection()
        assert await deferToThread(visitor.recv, 1) == b""
        visitor.close()
        await port.stopListening()
        await listen(again)


@pytest_twisted.ensureDeferred
async def test_a_client_is_set_up(listen):
    """What is said in the string is what an accepted socket has; what is not, as in a listener's table."""
    port, factory = await listen(
        "tcpsuite:0:127.0.0.1:90:keepaliveIdle=33s:keepaliveCount=4:sendBuffer=50KiB"
    )
    (visitor,) = await visit(port.getHost(), factory)
    found = settings(factory.transports[0].socket)
    visitor.close()
    assert (found["keepalive_idle"], found["keepalive_count"], found["send_buffer"]) == (33, 4, 50 * 1024)
    assert (found["nodelay"], found["keepalive"], found["keepalive_interval"]) == (True, True, 10)
    assert backlog(port.socket) == 90


@pytest_twisted.ensureDeferred
async def test_the_defaults_are_those_of_a_listener(listen):
    """With a port alone it is a listener of ours without a table."""
    port, _ = await listen("tcpsuite:0:interface=127.0.0.1")
    with socket.socket() as plain:
        apply(ListenerSocketOptions(), plain)
        assert settings(port.socket) == settings(plain)
    assert backlog(port.socket) == 1024


class ParseTests(SynchronousTestCase):
    """What the string may say."""

    def parse(self, text: str) -> tuned.TunedEndpoint:
        endpoint: Any = serverFromString(MemoryReactor(), text)
        return endpoint  # type: ignore[no-any-return]

    def test_plugin(self) -> None:
        """It is a plugin of Twisted, and gives what Twisted wants."""
        (plugin,) = [
            each for each in getPlugins(IStreamServerEndpointStringParser) if each.prefix == "tcpsuite"
        ]
        verifyObject(IStreamServerEndpointStringParser, plugin)
        verifyObject(IStreamServerEndpoint, plugin.parseStreamServer(MemoryReactor(), "1"))

    def test_given(self) -> None:
        """Each option can be said, as a file says it, or on a command line."""
        text = (
            "tcpsuite:1:nodelay=no:keepalive=off:keepaliveIdle=33:keepaliveInterval=7s:keepaliveCount=4:"
            "userTimeout=1.5s:receiveBuffer=8192:sendBuffer=1MiB:deferAccept=5s"
        )
        given: dict[str, Any] = {
            "nodelay": False,
            "keepalive": False,
            "keepalive_idle": 33.0,
            "keepalive_interval": 7.0,
            "keepalive_count": 4,
            "user_timeout": 1.5,
            "receive_buffer": 8192,
            "send_buffer": 2**20,
            "defer_accept": 5.0,
        }
        self.assertEqual(self.parse(text).given, given)
        names = {own.name for own in fields(ListenerSocketOptions)}
        self.assertEqual(names - set(given), {"backlog", "high_water"})

    def test_bad(self) -> None:
        """A value that does not fit is refused with the name of its argument."""
        cases = {
            "nodelay=maybe": "nodelay: expected true or false, got 'maybe'",
            "keepaliveCount=200": (
                "keepaliveCount: expected a value from 1 to 127 probes, as the kernel counts them, got 200"
            ),
            "deferAccept=soon": (
                'deferAccept: expected a duration such as "500ms", "30s", "5m" or "2h", got \'soon\''
            ),
            "reusePort=2": "expected true or false, got '2'",
        }
        for argument, text in cases.items():
            error = self.assertRaises(ValueError, self.parse, f"tcpsuite:1:{argument}")
            self.assertEqual(str(error), text)
        for unknown in ("highWater=64KiB", "keepalive_idle=5s"):
            error = self.assertRaises(TypeError, self.parse, f"tcpsuite:1:{unknown}")
            self.assertIn("unexpected keyword argument", str(error))

    def test_documented(self) -> None:
        """docs/configuration.md names every argument."""
        text = (DOCS / "configuration.md").read_text().partition("### `tcpsuite:`")[2].partition("\n## ")[0]
        for name in tuned.ARGUMENTS[1:]:
            self.assertRegex(text, rf"`{name}[`=]")

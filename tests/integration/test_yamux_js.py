"""Two implementations of yamux in JavaScript, as clients of ours and as servers to ours.

One of them, yamux-js, knows neither ends nor resets, nor holds a sender back; what it does know is tried.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from signal import SIGUSR1, SIGUSR2
from typing import TYPE_CHECKING

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.protocol import Factory

from tcpsuite.errors import Closed
from tcpsuite.net.mux.endpoints import Trunk
from tests.integration.support.programs import Program, find, need, run
from tests.integration.support.yamux import ECHO, Asking, turn
from tests.net.mux.ends import Echo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.support.suites import Suite

PEER = Path(__file__).parent / "yamux" / "peer.mjs"
LIBRARIES = ["libp2p", "yamux-js"]
MOST = 100_000_000


@pytest.fixture(scope="module")
def node() -> str:
    """The program that runs the peer, whose libraries are there."""
    need("node")
    if not (PEER.parent / "node_modules").exists():
        words = f"{PEER.parent / 'node_modules'} is not there; `make test-deps` makes it"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(words)
    return str(find("node"))


@pytest.fixture
def server(request: pytest.FixtureRequest, node: str, tmp_path: Path) -> Iterator[tuple[Program, Trunk]]:
    """A library, echoing on a port, and our way to it."""
    with Program(node, PEER, request.param, "server", log=tmp_path / "peer.log") as program:
        program.ready(lambda: program.output.endswith("\n"), "it told its port")
        yield program, Trunk(clientFromString(reactor, f"tcp:127.0.0.1:{program.output.strip()}"), reactor)


def on(*libraries: str) -> pytest.MarkDecorator:
    """The test is run with these."""
    return pytest.mark.parametrize("server", libraries, indirect=True)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("streams", "size"), [(1_000, 10_000), (8, MOST // 8)])
def test_as_client(serve: Callable[..., Suite], node: str, library: str, streams: int, size: int) -> None:
    """What it sends on its streams comes back whole, and behind it our end, if it knows ends."""
    suite = serve(ECHO)
    asked = run(node, PEER, library, "client", str(suite.ports["echo"]), str(streams), str(size))
    assert json.loads(asked.stdout) == {"good": streams, "ping": True}
    suite.finish()


def test_its_window_runs_out(serve: Callable[..., Suite], node: str) -> None:
    """A stream that it does not read holds back what it sends there, no other, and all comes at last."""
    suite = serve(ECHO)
    asked = run(node, PEER, "libp2p", "window", str(suite.ports["echo"]), "5000000")
    assert json.loads(asked.stdout) == {"quick": True, "waited": True, "slow": True}
    suite.finish()


def test_it_resets(serve: Callable[..., Suite], node: str) -> None:
    """Its reset ends one stream, and another goes on."""
    suite = serve(ECHO)
    asked = run(node, PEER, "libp2p", "reset", str(suite.ports["echo"]))
    assert json.loads(asked.stdout) == {"good": True, "left": 0}
    suite.finish()


@pytest.mark.parametrize(("library", "came"), [("libp2p", 5), ("yamux-js", 10)])
@pytest_twisted.ensureDeferred
async def test_we_go_away(node: str, tmp_path: Path, library: str, came: int) -> None:
    """When our port is closed it opens no more streams; what is open goes on, if it lets it."""
    listening = serverFromString(reactor, "mux:tcp:0:interface=127.0.0.1")
    port = await listening.listen(Factory.forProtocol(Echo))
    number = str(port.getHost().port)
    with Program(node, PEER, library, "away", number, log=tmp_path / "peer.log") as program:
        while "known" not in program.output:
            assert program.running, program
            await turn()
        await port.stopListening()
        while program.running:
            await turn()
        assert json.loads(program.output.splitlines()[-1]) == {"refused": True, "came": came}


@on("libp2p")
@pytest.mark.parametrize(
    ("streams", "size", "times"), [(1_000, 100, 100), (20, 50_000, 100), (1, 100_000, 1000)]
)
@pytest_twisted.ensureDeferred
async def test_as_server(server: tuple[Program, Trunk], streams: int, size: int, times: int) -> None:
    """What is sent on streams of ours comes back whole, and behind our FIN comes its own."""
    _, trunk = server
    asking = await gatherResults([trunk.open(Factory.forProtocol(Asking)) for _ in range(streams)])
    sent = [each.send(os.urandom(size), times) for each in asking]
    await gatherResults([each.end for each in asking])
    assert [each.digest.hexdigest() for each in asking] == sent
    await gatherResults([each.gone for each in asking])
    (connection,) = trunk.connections
    assert connection.mux.streams == {}
    await trunk.close()


@on("yamux-js")
@pytest.mark.parametrize(("streams", "size", "times"), [(1_000, 100, 100), (20, 50_000, 100)])
@pytest_twisted.ensureDeferred
async def test_as_server_without_ends(
    server: tuple[Program, Trunk], streams: int, size: int, times: int
) -> None:
    """What is sent on streams of ours comes back whole."""
    _, trunk = server
    asking = await gatherResults([trunk.open(Factory.forProtocol(Asking)) for _ in range(streams)])
    sent = []
    for each in asking:
        while each.transport.stream.flags:  # of what comes with a SYN it loses all
            await turn()
        sent.append(each.send(os.urandom(size), times))
    while any(each.length < size * times for each in asking):
        await turn()
    assert [each.digest.hexdigest() for each in asking] == sent
    for each in asking:
        each.transport.abortConnection()
    await gatherResults([each.gone for each in asking])
    await trunk.close()


@on("libp2p")
@pytest_twisted.ensureDeferred
async def test_our_window_runs_out(server: tuple[Program, Trunk]) -> None:
    """Who is not read stops at its window, other streams go on, and nothing is lost when it is read again."""
    _, trunk = server
    slow, quick = [await trunk.open(Factory.forProtocol(Asking)) for _ in range(2)]
    slow.transport.pauseProducing()
    sent = slow.send(os.urandom(100_000), 50)
    other = quick.send(os.urandom(100_000), 50)
    await quick.end
    assert quick.digest.hexdigest() == other
    assert slow.length == 0
    assert slow.transport.unsent() > 0
    slow.transport.resumeProducing()
    await slow.end
    assert slow.digest.hexdigest() == sent
    await trunk.close()


@on("libp2p")
@pytest_twisted.ensureDeferred
async def test_resets(server: tuple[Program, Trunk]) -> None:
    """A reset of ours ends one stream for it, and its own are ours: who is on them is told."""
    program, trunk = server
    first, second, third = [await trunk.open(Factory.forProtocol(Asking)) for _ in range(3)]
    first.transport.write(b"never mind")
    first.transport.abortConnection()
    sent = second.send(os.urandom(1000), 3)
    await gatherResults([first.gone, second.end])
    assert second.digest.hexdigest() == sent
    third.transport.write(b"known")
    while not third.length:
        await turn()
    program.signal(SIGUSR2)
    await third.gone
    assert not third.end.called
    await trunk.close()


@on(*LIBRARIES)
@pytest_twisted.ensureDeferred
async def test_ping_and_go_away(server: tuple[Program, Trunk]) -> None:
    """It answers pings, and when it goes away what is open goes on, and nothing new is opened there."""
    program, trunk = server
    asking = await trunk.open(Factory.forProtocol(Asking))
    (connection,) = trunk.connections
    connection.ping()
    while not connection.mux.round_trip:
        await turn()
    assert connection.mux.round_trip < 10
    asking.transport.write(b"known")
    while asking.length < 5:
        await turn()
    program.signal(SIGUSR1)
    while not connection.mux.gone:
        await turn()
    with pytest.raises(Closed):
        connection.open(Factory.forProtocol(Asking))
    asking.transport.write(bytes(1000))
    while asking.length < 1005:
        await turn()
    asking.transport.abortConnection()
    await asking.gone
    await trunk.close()

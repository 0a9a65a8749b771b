"""The reference implementation of yamux, in Go, as client of ours and as server to ours."""

from __future__ import annotations

import json
import os
from pathlib import Path
from signal import SIGUSR1
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

PACKAGE = Path("/usr/share/gocode/src/github.com/hashicorp/yamux")
SOURCE = Path(__file__).parent / "yamux" / "peer.go"


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program in Go, built."""
    need("go")
    if not PACKAGE.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{PACKAGE} is not there; `make test-deps`")
    folder = tmp_path_factory.mktemp("yamux")
    go = {
        "GO111MODULE": "off",
        "GOPATH": "/usr/share/gocode",
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "",
    }
    run(str(find("go")), "build", "-o", folder / "peer", SOURCE, env={**os.environ, **go})
    return folder / "peer"


@pytest.fixture
def go_server(peer: Path, tmp_path: Path) -> Iterator[tuple[Program, int]]:
    """It, echoing on a port."""
    with Program(peer, "server", log=tmp_path / "peer.log") as program:
        program.ready(lambda: program.output.endswith("\n"), "it told its port")
        yield program, int(program.output)


@pytest.mark.parametrize(("streams", "size"), [(1_000, 10_000), (20, 5_000_000), (1, 100_000_000)])
def test_go_as_client(serve: Callable[..., Suite], peer: Path, streams: int, size: int) -> None:
    """What it sends on its streams comes back whole, its ping is answered, and no stream is left."""
    suite = serve(ECHO)
    outcome = json.loads(run(peer, "client", str(suite.ports["echo"]), str(streams), str(size)).stdout)
    assert outcome.pop("ping_us") >= 0
    assert outcome == {"good": streams, "bytes": streams * size, "left": 0}
    suite.finish()


@pytest.mark.parametrize(
    ("streams", "size", "times"), [(1_000, 100, 100), (20, 50_000, 100), (1, 1_000_000, 100)]
)
@pytest_twisted.ensureDeferred
async def test_go_as_server(go_server: tuple[Program, int], streams: int, size: int, times: int) -> None:
    """What is sent on streams of ours comes back whole from it, and behind our FIN comes its own."""
    _, port = go_server
    trunk = Trunk(clientFromString(reactor, f"tcp:127.0.0.1:{port}"), reactor)
    asking = await gatherResults([trunk.open(Factory.forProtocol(Asking)) for _ in range(streams)])
    sent = [each.send(os.urandom(size), times) for each in asking]
    await gatherResults([each.end for each in asking])
    assert [each.digest.hexdigest() for each in asking] == sent
    await gatherResults([each.gone for each in asking])
    (connection,) = trunk.connections
    assert connection.mux.streams == {}
    await trunk.close()


@pytest_twisted.ensureDeferred
async def test_windows_run_out_and_are_filled_again(go_server: tuple[Program, int]) -> None:
    """Who is not read stops at its window, other streams go on, and nothing is lost when it is read again."""
    _, port = go_server
    trunk = Trunk(clientFromString(reactor, f"tcp:127.0.0.1:{port}"), reactor)
    slow, quick = [await trunk.open(Factory.forProtocol(Asking)) for _ in range(2)]
    slow.transport.pauseProducing()
    sent = slow.send(os.urandom(100_000), 50)
    other = quick.send(os.urandom(100_000), 50)
    await quick.end
    assert quick.digest.hexdigest() == other
    assert slow.length == 0
    assert not slow.end.called
    slow.transport.resumeProducing()
    await slow.end
    assert slow.digest.hexdigest() == sent
    await trunk.close()


@pytest_twisted.ensureDeferred
async def test_reset_ping_and_go_away(go_server: tuple[Program, int]) -> None:
    """It takes a reset for one stream's end, answers pings, and when it goes away what is open goes on."""
    program, port = go_server
    trunk = Trunk(clientFromString(reactor, f"tcp:127.0.0.1:{port}"), reactor)
    first, second = [await trunk.open(Factory.forProtocol(Asking)) for _ in range(2)]
    (connection,) = trunk.connections
    first.transport.write(b"never mind")
    first.transport.abortConnection()
    connection.ping()
    sent = second.send(os.urandom(1000), 3)
    await gatherResults([first.gone, second.end])
    assert second.digest.hexdigest() == sent
    while not connection.mux.round_trip:
        await turn()
    assert connection.mux.round_trip < 10
    third = await trunk.open(Factory.forProtocol(Asking))
    third.transport.write(b"known")
    while not third.length:
        await turn()
    program.signal(SIGUSR1)
    while not connection.mux.gone:
        await turn()
    with pytest.raises(Closed):
        connection.open(Factory.forProtocol(Asking))
    third.send(bytes(1000), 3)
    await third.end
    assert third.length == 3005
    await trunk.close()


@pytest_twisted.ensureDeferred
async def test_it_resets(go_server: tuple[Program, int]) -> None:
    """A stream that we open while its going away is under way is reset by it, and others go on."""
    program, port = go_server
    trunk = Trunk(clientFromString(reactor, f"tcp:127.0.0.1:{port}"), reactor)
    first = await trunk.open(Factory.forProtocol(Asking))
    (connection,) = trunk.connections
    first.transport.write(b"known")
    while not first.length:
        await turn()
    program.signal(SIGUSR1)
    while not connection.mux.gone:
        await turn()
    connection.mux.gone = False  # as it is until that has come
    late = await trunk.open(Factory.forProtocol(Asking))
    late.transport.write(b"too late")
    await late.gone
    assert not late.end.called
    sent = first.send(bytes(1000), 3)
    await first.end
    assert (first.length, len(sent)) == (3005, 64)
    connection.mux.gone = True
    await trunk.close()


@pytest_twisted.ensureDeferred
async def test_we_go_away(peer: Path, tmp_path: Path) -> None:
    """When our port is closed it opens no more streams, and what is open goes on."""
    listening = serverFromString(reactor, "mux:tcp:0:interface=127.0.0.1")
    port = await listening.listen(Factory.forProtocol(Echo))
    with Program(peer, "away", str(port.getHost().port), log=tmp_path / "peer.log") as program:
        while "known" not in program.output:
            assert program.running, program
            await turn()
        await port.stopListening()
        while program.running:
            await turn()
        known, refused, still = program.output.splitlines()
        assert (known, still) == ("known", "still")
        assert "not accepting" in refused

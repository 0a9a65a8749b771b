"""The manhole on real sockets."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.admin import manhole as module
from tcpsuite.admin.manhole import Manhole, ManholeOptions, socket_path
from tcpsuite.errors import StartError
from tests.admin.support import busy_suite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from twisted.python.failure import Failure


@implementer(IHalfCloseableProtocol)
class Client(Protocol):
    """Keeps what it reads."""

    def __init__(self) -> None:
        self.got = b""
        self.ended: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()  # type: ignore[union-attr]

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(self.got)


def offer(folder: Path, *, enabled: bool = True) -> Manhole:
    from twisted.internet import reactor

    return Manhole(ManholeOptions(enabled=enabled), str(folder), busy_suite(), reactor)


@pytest_twisted.async_yield_fixture
async def manhole(tmp_path: Path) -> AsyncIterator[Manhole]:
    offered = offer(tmp_path / "state")
    await offered.start()
    yield offered
    await offered.stop()


async def enter(manhole: Manhole) -> Client:
    from twisted.internet import reactor

    client: Client = await connectProtocol(UNIXClientEndpoint(reactor, manhole.path), Client())
    return client


async def say(manhole: Manhole, *lines: str) -> str:
    """What is printed for some lines that are piped in."""
    from twisted.internet import reactor

    client: Any = await enter(manhole)
    client.transport.write("\n".join(lines).encode())
    client.transport.loseWriteConnection()
    got: bytes = await client.ended.addTimeout(10, reactor)
    return got.decode()


@pytest_twisted.ensureDeferred
async def test_namespace(manhole: Manhole) -> None:
    """The prompt sees the running process, and help() tells what of it."""
    assert await say(manhole, "list(listeners)", "len(ledger)") == "['db', 'echo']\n1\n"
    assert await say(manhole, "(await sessions.stats())['count']") == "3\n"
    assert "ended: server_closed\n" in await say(manhole, "why('ab-1')")
    printed = await say(manhole, "help()")
    for name in module.namespace(busy_suite(), None):
        assert f"\n  {name} " in printed


@pytest_twisted.ensureDeferred
async def test_private(manhole: Manhole) -> None:
    """Only the owner may enter the folder, and the socket."""
    path = Path(manhole.path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest_twisted.ensureDeferred
async def test_other_user(manhole: Manhole, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer of another user is cut off, and nothing that it sends is run."""
    monkeypatch.setattr(module, "peer_of", lambda _socket: (1, os.geteuid() + 1))
    assert await say(manhole, "print(1)") == ""


@pytest_twisted.ensureDeferred
async def test_root_enters(manhole: Manhole, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root is let in, whoever runs the process."""
    monkeypatch.setattr(module, "peer_of", lambda _socket: (1, 0))
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert await say(manhole, "print(1)") == "1\n"


@pytest_twisted.ensureDeferred
async def test_terminal(manhole: Manhole) -> None:
    """Who begins with the size of a terminal gets the prompt of one, and loses it when it sends no more."""
    client: Any = await enter(manhole)
    client.transport.write(b"\x1b[8;24;80t1+1\r")
    client.transport.loseWriteConnection()
    assert b"2\r\n>>> " in await client.ended


@pytest_twisted.ensureDeferred
async def test_stop(manhole: Manhole) -> None:
    """An open prompt does not hold the stop; the socket is gone with it."""
    client: Any = await enter(manhole)
    client.transport.write(b"from twisted.internet.defer import Deferred\nDeferred()\n")
    await say(manhole, "1")
    assert "open=1" in repr(manhole)
    await manhole.stop()
    await client.ended
    assert not Path(manhole.path).exists()


@pytest_twisted.ensureDeferred
async def test_left_behind(tmp_path: Path) -> None:
    """A socket that a killed process left behind is taken over, whoever has that process's number now."""
    path = Path(socket_path(str(tmp_path)))
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    Path(f"{path}.lock").symlink_to(str(os.getppid()))
    manhole = offer(tmp_path)
    await manhole.start()
    try:
        assert await say(manhole, "1") == "1\n"
    finally:
        await manhole.stop()


@pytest_twisted.ensureDeferred
async def test_killed(tmp_path: Path) -> None:
    """The folder of a process that was killed is free at once; of one that lives it is not."""
    folder = tmp_path / "manhole"
    script = (
        "import sys, pathlib; from tcpsuite.admin.folder import claim\n"
        "claim(pathlib.Path(sys.argv[1])); print(flush=True); input()"
    )
    with subprocess.Popen(
        (sys.executable, "-c", script, str(folder)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"\n"
        with pytest.raises(StartError, match=f"another process holds {folder}/lock"):
            await offer(tmp_path).start()
        other.kill()
    manhole = offer(tmp_path)
    await manhole.start()
    await manhole.stop()


@pytest_twisted.ensureDeferred
async def test_in_use(manhole: Manhole, tmp_path: Path) -> None:
    """A second process with the same state directory does not start, and the first keeps its socket."""
    second = offer(tmp_path / "state")
    with pytest.raises(StartError, match=f"another process holds {Path(manhole.path).parent}/lock"):
        await second.start()
    await second.stop()
    assert await say(manhole, "1") == "1\n"


@pytest_twisted.ensureDeferred
async def test_claimed_for_others(tmp_path: Path) -> None:
    """A folder of another user's, or a link to one, is not used."""
    folder = tmp_path / "manhole"
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError, match=f"manhole: {folder}: is a link"):
        await offer(tmp_path).start()
    folder.unlink()
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 4711)
        with pytest.raises(StartError, match=f"manhole: {folder} belongs to user {os.getuid()}, not to 4711"):
            await offer(tmp_path).start()


@pytest_twisted.ensureDeferred
async def test_failed_start(tmp_path: Path) -> None:
    """A start that fails leaves the folder free."""
    path = Path(socket_path(str(tmp_path)))
    path.mkdir(parents=True)
    manhole = offer(tmp_path)
    with pytest.raises(StartError, match=f"manhole: {path}: Is a directory"):
        await manhole.start()
    path.rmdir()
    await manhole.start()
    await manhole.stop()


@pytest_twisted.ensureDeferred
async def test_no_room(tmp_path: Path) -> None:
    """A path that the kernel would not take, and a folder that cannot be made, stop the start."""
    with pytest.raises(StartError, match="at most 107 bytes"):
        await offer(tmp_path / ("x" * 100)).start()
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"manhole: .*file"):
        await offer(tmp_path / "file").start()


@pytest_twisted.ensureDeferred
async def test_off(tmp_path: Path) -> None:
    """It is off unless the file says otherwise."""
    manhole = offer(tmp_path, enabled=False)
    await manhole.start()
    await manhole.stop()
    assert (manhole.path, list(tmp_path.iterdir())) == ("", [])
    assert not ManholeOptions().enabled


class HalfClosedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.waiting: Deferred[int] = Deferred()
        factory = module.DoorFactory(lambda: {"waiting": self.waiting}, set(), self.clock)
        self.door = factory.buildProtocol(None)
        ours, self.peer = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.peer.close)
        transport: Any = StringTransportWithDisconnection()
        transport.socket = ours
        self.transport = transport
        self.transport.protocol = self.door
        self.door.makeConnection(self.transport)
        self.door.dataReceived(b"await waiting\n")
        self.peer.shutdown(socket.SHUT_WR)
        self.door.readConnectionLost()

    def test_vanished(self) -> None:
        """What is awaited for a peer that sends no more goes on while it reads, and is cancelled when it
        goes.
        """
        self.clock.advance(module.LOOK_INTERVAL)
        self.assertFalse(self.waiting.called)
        self.peer.close()
        self.clock.advance(module.LOOK_INTERVAL)
        self.assertTrue(self.waiting.called)
        self.assertFalse(self.transport.connected)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answered(self) -> None:
        """The peer that waits is answered, and nothing goes on looking for it."""
        self.waiting.callback(0)
        self.assertFalse(self.transport.connected)
        self.assertEqual(self.clock.getDelayedCalls(), [])

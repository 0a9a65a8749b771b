"""The manhole over SSH, asked by a real SSH client."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.client.knownhosts import KnownHostsFile
from twisted.conch.endpoints import AuthenticationFailed, SSHCommandClientEndpoint
from twisted.conch.interfaces import ISession
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.connection import MSG_CHANNEL_OPEN_FAILURE
from twisted.conch.ssh.keys import Key
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.python.filepath import FilePath
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.admin import manhole_ssh as module
from tcpsuite.admin.authorized_keys import AuthorizedKeys
from tcpsuite.admin.manhole import Manhole, ManholeOptions
from tcpsuite.config import load
from tcpsuite.errors import ConfigError, StartError
from tcpsuite.options import Endpoints, OptionError
from tcpsuite.options import FilePath as Path_
from tests.admin.support import busy_suite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from twisted.python.failure import Failure

LOOPBACK = ("tcp:0:interface=127.0.0.1",)


class Command(Protocol):
    """Keeps what a command prints."""

    def __init__(self) -> None:
        self.got = b""
        self.ended: Deferred[tuple[bytes, bool]] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback((self.got, bool(reason.check(ConnectionDone))))


class TrustAll:
    """Asks nobody whether a host key is right."""

    def prompt(self, _text: bytes) -> Deferred[bool]:
        answer: Deferred[bool] = Deferred()
        answer.callback(True)
        return answer

    def warn(self, _text: bytes) -> None:
        pass


class Bench:
    """A manhole with one authorized key."""

    def __init__(self, folder: Path) -> None:
        self.key = Key(Ed25519PrivateKey.generate())
        self.keys = folder / "authorized_keys"
        self.keys.write_bytes(b"# ours\n" + self.key.public().toString("openssh") + b"\n")
        self.state = folder / "state"
        self.known = folder / "known_hosts"

    def offer(self, *endpoints: str, keys: str | None = None) -> Manhole:
        from twisted.internet import reactor

        options = ManholeOptions(ssh=Endpoints(endpoints), authorized_keys=Path_(keys or str(self.keys)))
        return Manhole(options, str(self.state), busy_suite(), reactor)

    async def run(self, manhole: Manhole, command: bytes, key: Key | None = None) -> tuple[bytes, bool]:
        """What a command prints, and whether it ended well."""
        from twisted.internet import reactor

        port = int(manhole.ssh_addresses[0].rpartition(":")[2])
        connection: Any = SSHCommandClientEndpoint.newConnection
        endpoint = connection(
            reactor, command, b"anybody", b"127.0.0.1", port,
            keys=[key or self.key], agentEndpoint=None,
            knownHosts=KnownHostsFile(FilePath(str(self.known))), ui=TrustAll(),
        )  # fmt: skip
        client: Command = await connectProtocol(endpoint, Command())
        return await client.ended


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    observer: Any = events.append
    globalLogPublisher.addObserver(observer)
    yield events
    globalLogPublisher.removeObserver(observer)


@pytest_twisted.async_yield_fixture
async def manhole(bench: Bench) -> AsyncIterator[Manhole]:
    offered = bench.offer(*LOOPBACK)
    await offered.start()
    yield offered
    await offered.stop()


@pytest_twisted.ensureDeferred
async def test_command(bench: Bench, manhole: Manhole) -> None:
    """A command is one line of Python, its output what it printed."""
    assert await bench.run(manhole, b"len(ledger)") == (b"1\n", True)


@pytest_twisted.ensureDeferred
async def test_other_key(bench: Bench, manhole: Manhole) -> None:
    """A key that is not in the file is refused; one that was put there is let in without a restart."""
    other = Key(Ed25519PrivateKey.generate())
    with pytest.raises(AuthenticationFailed):
        await bench.run(manhole, b"1", other)
    bench.keys.write_bytes(other.public().toString("openssh"))
    assert await bench.run(manhole, b"1", other) == (b"1\n", True)
    bench.keys.unlink()
    with pytest.raises(AuthenticationFailed):
        await bench.run(manhole, b"1", other)


@pytest_twisted.ensureDeferred
async def test_host_key(bench: Bench, manhole: Manhole) -> None:
    """The host key is made once, for its owner's eyes only, and used again."""
    path = bench.state / "manhole" / "ssh_host_ed25519_key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made = path.read_bytes()
    assert module.host_key(str(bench.state)).toString("openssh", subtype="v1").split() != []
    assert path.read_bytes() == made
    path.write_text("no key")
    with pytest.raises(StartError, match="the host key"):
        module.host_key(str(bench.state))


@pytest_twisted.ensureDeferred
async def test_loopback_only(tmp_path: Path) -> None:
    """An endpoint that other machines can reach, or may be able to, is a fault of the configuration."""
    for endpoint in (
        "tcp:0", "tcp:0:interface=0.0.0.0", "tcp:0:interface=", "tcp:0:interface=\\:\\:", "tcp:0:192.0.2.1",
        "tcp:0:interface=127.0.0.1:interface=192.0.2.1", "tcp:0:interface=localhost.example.com", "ssl:0",
        "haproxy:tcp:0:interface=127.0.0.1", "systemd:domain=INET:index=0", "tcp:0\\:interface=127.0.0.1",
    ):  # fmt: skip
        with pytest.raises(OptionError, match="the prompt is for this machine"):
            ManholeOptions(ssh=Endpoints((LOOPBACK[0], endpoint)))
    for endpoint in (
        *LOOPBACK, "tcp:interface=127.0.0.2:port=0", "tcp:0:interface=\\:\\:1",
        "tcp:0:backlog=5:interface=127.0.0.1", "unix:/run/ssh",
    ):  # fmt: skip
        assert ManholeOptions(ssh=Endpoints((endpoint,))).ssh == (endpoint,)
    file = tmp_path / "tcpsuite.toml"
    file.write_text('[listener.e]\nendpoint = "tcp:0"\nservice = "echo"\n\n[manhole]\nssh = "tcp:7022"\n')
    with pytest.raises(ConfigError, match=r"tcpsuite.toml:6: .*interface=127.0.0.1"):
        load(str(file))


@pytest_twisted.ensureDeferred
async def test_no_keys(bench: Bench, tmp_path: Path) -> None:
    """Without a key that may log in there is no start: no file named, none there, none in it."""
    (tmp_path / "empty").touch()
    for keys, why in (
        ("", "needs authorized_keys"),
        (f"{tmp_path}/none", "No such file"),
        (f"{tmp_path}/empty", "no key in"),
    ):
        with pytest.raises(StartError, match=why):
            AuthorizedKeys(keys).check()


@pytest_twisted.ensureDeferred
async def test_broken_keys(bench: Bench, manhole: Manhole, logged: list[LogEvent]) -> None:
    """A line that is no key is left out, with one warning as long as the file stays the same."""
    key = bench.key.public().toString("openssh")
    bench.keys.write_bytes(b"\n".join((key[:40], b"ssh-ed25519 AAAA", b'command="x" ' + key, b"# \xff", key)))
    for _ in range(2):
        assert await bench.run(manhole, b"1") == (b"1\n", True)
    warnings = [event for event in logged if event["log_level"] is LogLevel.warn]
    assert [(event["path"], event["line"]) for event in warnings] == [(str(bench.keys), n) for n in (1, 2, 3)]
    bench.keys.write_bytes(key[:40])
    with pytest.raises(StartError, match=f"no key in {bench.keys}"):
        AuthorizedKeys(str(bench.keys)).check()


@pytest_twisted.ensureDeferred
async def test_log(bench: Bench, manhole: Manhole, logged: list[LogEvent]) -> None:
    """A login is one line of the log; what was typed is in none, and neither is the goodbye."""
    assert await bench.run(manhole, b"'whisper'") == (b"'whisper'\n", True)
    # The client here is conch's own, and logs to the same place.
    ours = [
        event
        for event in logged
        if event["log_namespace"] in {module.__name__, "twisted.conch.ssh.session"}
        or type(event.get("log_source")).__module__ == module.__name__
    ]
    assert [event["log_format"] for event in ours] == ["manhole: {peer} logged in over SSH"]
    assert not [event for event in logged if event["log_level"] >= LogLevel.warn]


@pytest_twisted.ensureDeferred
async def test_without_the_extra(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed the start says what to install."""
    monkeypatch.delitem(sys.modules, "tcpsuite.admin.manhole_ssh")
    monkeypatch.delattr("tcpsuite.admin.manhole_ssh")
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    with pytest.raises(StartError, match=r'pip install "tcpsuite\[conch\]"'):
        await bench.offer(*LOOPBACK).start()


@pytest_twisted.ensureDeferred
async def test_silent_peer(manhole: Manhole) -> None:
    """A peer that does not log in does not hold the stop."""
    from twisted.internet import reactor

    port = int(manhole.ssh_addresses[0].rpartition(":")[2])
    client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), Command())
    await manhole.stop()
    await client.ended


class FakeProto:
    """What a client's channel is to its session."""

    def __init__(self) -> None:
        self.sent = b""
        self.ended = 0
        self.keys: Any = None

    def makeConnection(self, transport: Any) -> None:
        self.keys = transport

    def write(self, data: bytes) -> None:
        self.sent += data

    def processEnded(self, _reason: Failure) -> None:
        self.ended += 1


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.user = module._User(lambda: {"x": 5}, self.clock)
        self.session: Any = ISession(self.user)
        self.proto = FakeProto()
        self.addCleanup(self.session.closed)

    def test_terminal(self) -> None:
        """A shell with a terminal gets the prompt of one, in its size, and in the size that it has later."""
        self.session.getPty(b"xterm", (40, 120, 0, 0), b"")
        self.session.openShell(self.proto)
        self.assertEqual(self.proto.sent, b"")
        self.clock.advance(0)
        self.assertTrue(self.proto.sent.endswith(b">>> "))
        self.proto.keys.write(b"x\r")
        self.assertTrue(self.proto.sent.endswith(b"\r\n5\r\n>>> "))
        prompt = self.session._prompt.prompt
        self.assertEqual((prompt.width, prompt.height), (120, 40))
        self.session.windowChanged((24, 80, 0, 0))
        self.assertEqual((prompt.width, prompt.height), (80, 24))
        self.proto.keys.write(b"\x04")
        self.assertEqual(self.proto.ended, 1)
        self.session.eofReceived()

    def test_pipe(self) -> None:
        """A shell without a terminal is a plain prompt, which ends with its input."""
        self.session.openShell(self.proto)
        self.proto.keys.write(b"x + 1\n")
        self.clock.advance(0)
        self.assertEqual((self.proto.sent, self.proto.ended), (b"6\n", 0))
        self.session.eofReceived()
        self.assertEqual(self.proto.ended, 1)
        self.proto.keys.loseConnection()
        self.session.windowChanged((24, 80, 0, 0))

    def test_channels(self) -> None:
        """Each channel of one connection has a prompt of its own."""
        self.assertIsNot(ISession(self.user), self.session)

    def test_closed_unused(self) -> None:
        """A channel that was closed before anything was asked of it leaves nothing."""
        self.session.eofReceived()
        self.session.closed()

    def test_closed_early(self) -> None:
        """A channel that is closed before its first words have left holds nothing."""
        self.session.openShell(self.proto)
        self.session.closed()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_command(self) -> None:
        """A command ends when it is done, behind what it printed."""
        self.session.execCommand(self.proto, b"x")
        self.assertEqual((self.proto.sent, self.proto.ended), (b"", 0))
        self.clock.advance(0)
        self.assertEqual((self.proto.sent, self.proto.ended), (b"5\n", 1))


class ForwardingTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """Nothing is forwarded, and to want it is no fault of ours."""
        channels: Any = module._Channels()
        sent: list[Any] = []
        channels.transport = _Packets(sent)
        channels.ssh_CHANNEL_OPEN(NS(b"direct-tcpip") + pack(">3L", 7, 9000, 9000) + NS(b"example.com"))
        self.assertEqual(
            sent, [(MSG_CHANNEL_OPEN_FAILURE, pack(">2L", 7, 3) + NS(b"only sessions") + NS(b""))]
        )
        self.assertEqual(self.flushLoggedErrors(), [])


@frozen
class _Packets:
    """The transport of an SSH connection: keeps what is sent."""

    sent: list[tuple[int, bytes]]

    def sendPacket(self, kind: int, payload: bytes) -> None:
        self.sent.append((kind, payload))


class LoginTimeTests(SynchronousTestCase):
    def test_too_late(self) -> None:
        """Who has not logged in after a minute is cut off."""
        clock = Clock()
        key = Key(Ed25519PrivateKey.generate())
        factory = module._Factory(None, key, clock)  # type: ignore[arg-type]
        factory.doStart()
        transport = _Transport()
        factory.buildProtocol(None).makeConnection(transport)
        clock.advance(module.LOGIN_TIME - 1)
        self.assertFalse(transport.aborted)
        clock.advance(1)
        self.assertTrue(transport.aborted)
        self.assertEqual(clock.getDelayedCalls(), [])


class _Transport:
    aborted = False

    def write(self, data: bytes) -> None:
        pass

    def setTcpNoDelay(self, _on: bool) -> None:
        pass

    def abortConnection(self) -> None:
        self.aborted = True

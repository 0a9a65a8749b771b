"""The session service on the wire: bytes as they come, real sockets, a real file."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone

from tcpsuite.core.connections import Connection
from tcpsuite.errors import StartError
from tcpsuite.net.sessions import SessionManager
from tcpsuite.services.session import SessionFactory, SessionOptions, SessionProtocol, build, example
from tcpsuite.stores.sqlite import SQLiteStore
from tcpsuite.testing.contexts import FakeContext
from tests.support.sessions import ID, Client, SessionCase

if TYPE_CHECKING:
    from pathlib import Path

    from twisted.python.failure import Failure


class DialogueTests(SessionCase):
    """However the bytes arrive."""

    LINES = (
        "LOGIN alice open sesame", "OPEN", "SET a deep blue", "SET b", "GET a", "NONSENSE", "get a", "KEYS",
        "DEL a", "INFO", "CLOSE", "QUIT",
    )  # fmt: skip

    def whole(self) -> str:
        """What is answered when all arrives at once."""
        return re.sub(ID, "ID", Client(self).say("\n".join([*self.LINES, ""]).encode()))

    def test_byte_by_byte(self) -> None:
        """One byte at a time, and with CR LF at the ends, the answers are the same."""
        client = Client(self)
        said = "\r\n".join([*self.LINES, ""]).encode()
        answers = "".join(client.say(bytes([byte])) for byte in said)
        self.assertEqual(re.sub(ID, "ID", answers), self.whole())
        self.assertEqual(answers.count("\n"), len(self.LINES) + 1)  # KEYS has one more

    @given(st.sets(st.integers(1, 120)))
    def test_cut_anywhere(self, cuts: set[int]) -> None:
        """Cut anywhere, the answers are the same."""
        said = "\n".join([*self.LINES, ""]).encode()
        edges = [0, *sorted(cut for cut in cuts if cut < len(said)), len(said)]
        client = Client(self)
        parts = [client.say(said[a:b]) for a, b in pairwise(edges)]
        self.assertEqual(re.sub(ID, "ID", "".join(parts)), self.whole())


class BuildTests(SessionCase):
    """The factory of a listener."""

    def test_nobody_could_use_it(self) -> None:
        """A service that nobody can log in to is not started, and the fault says what to set."""
        error = self.assertRaises(
            StartError, build, SessionOptions(), FakeContext(self.clock, session_manager=self.sessions)
        )
        self.assertIn("set passwords in [auth], or anonymous = true in the listener", str(error))

    def test_built(self) -> None:
        """Either an authenticator or anonymous sessions are enough."""
        for options, known in (
            (SessionOptions(), self.authenticator),
            (SessionOptions(anonymous=True), None),
        ):
            factory = build(
                options, FakeContext(self.clock, session_manager=self.sessions, known_users=known)
            )
            self.assertIsInstance(factory.buildProtocol(None), SessionProtocol)  # type: ignore[arg-type]

    def test_example(self) -> None:
        """Where no login is needed, the command line that tries the service opens a session."""
        line = example(SessionOptions(anonymous=True), "127.0.0.1", 7090)
        self.assertEqual(line, "printf 'OPEN\\nSET colour blue\\nGET colour\\n' | nc -N 127.0.0.1 7090")
        self.assertEqual(example(SessionOptions(), "127.0.0.1", 7090), "nc 127.0.0.1 7090")


class ReprTests(SessionCase):
    def test_repr(self) -> None:
        """A factory shows whom it serves, and no id."""
        for anonymous, served in ((True, "anonymous"), (False, "with logins")):
            factory = SessionFactory(self.clock, self.sessions, anonymous=anonymous)
            self.assertEqual(repr(factory), f"<SessionFactory {self.sessions!r} {served}>")


class Collector(Protocol):
    """Fires with all that was said, at the end of the connection."""

    def __init__(self, say: str) -> None:
        self.say = say.encode()
        self.heard = b""
        self.done: Deferred[str] = Deferred()

    def connectionMade(self) -> None:
        """Say it all, and then nothing more."""
        self.transport.write(self.say)  # type: ignore[union-attr]
        self.transport.loseWriteConnection()  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        """Hear."""
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All was heard."""
        self.done.callback(self.heard.decode())


@pytest_twisted.inlineCallbacks
def test_survives_on_real_sockets(tmp_path: Path):
    """A session is resumed from a second server, on the file of a first one that has ended."""
    path = str(tmp_path / "sessions.db")
    answers = []
    say = "OPEN\nSET colour deep blue\n"
    for _ in range(2):
        store = SQLiteStore.on(reactor, path)
        store.open()
        manager = SessionManager(store, reactor)
        manager.start()
        factory = RecordedFactory(reactor, manager, anonymous=True)
        port = yield TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        collector = Collector(say)
        yield connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), collector)
        answers.append((yield collector.done).splitlines())
        say = f"RESUME {answers[0][0][3:]}\nGET colour\nQUIT\n"
        yield port.stopListening()
        yield manager.stop()
    assert answers[0][1:] == ["OK"]
    assert answers[1] == ["OK 1", "OK deep blue", "OK"]


class RecordedFactory(SessionFactory):
    """Gives each connection its record, as a listener does."""

    def buildProtocol(self, addr: Any) -> SessionProtocol:
        """See the base."""
        protocol = super().buildProtocol(addr)
        protocol.connection = Connection("1", str(addr), addr.host, "l", "session", 0.0, 0.0)
        return protocol

"""Clients of the session service, for its tests."""

from __future__ import annotations

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.connections import Connection
from tcpsuite.net.auth import Authenticator
from tcpsuite.net.session_options import SessionRules
from tcpsuite.net.sessions import SessionManager
from tcpsuite.options import Duration
from tcpsuite.services.session import SessionFactory
from tcpsuite.stores.memory import MemoryStore

ID = "[A-Za-z0-9_-]{43}"
"""A pattern for the text of an id."""
PASSWORD = b"open sesame"
"""Of alice, and of bob."""


class SessionCase(SynchronousTestCase):
    """Connections to a session service that allows no anonymous sessions."""

    anonymous = False

    def setUp(self) -> None:
        """A service, and a first connection to it."""
        self.clock = Clock()
        self.clock.advance(1_000_000.0)
        self.checker = InMemoryUsernamePasswordDatabaseDontUse(alice=PASSWORD, bob=PASSWORD)
        self.authenticator = Authenticator(self.checker, self.clock, allow_plaintext=True)
        self.sessions = SessionManager(
            MemoryStore(),
            self.clock,
            SessionRules(idle_timeout=Duration(60.0), max_sessions=5, max_keys=3),
            now=self.clock.seconds,
        )
        self.factory = SessionFactory(self.clock, self.sessions, self.authenticator, self.anonymous)
        self.client = Client(self)

    def logged_in(self, user: str = "alice") -> Client:
        """A connection on which that user has logged in."""
        client = Client(self)
        self.assertEqual(client.ask(f"LOGIN {user} open sesame"), f"OK {user}")
        return client

    def opened(self) -> tuple[Client, str]:
        """A connection of alice's on which a session is open, and its id."""
        client = self.logged_in()
        return client, client.wants("OPEN")


class Client:
    """One connection."""

    def __init__(self, case: SessionCase) -> None:
        self.transport = StringTransport()
        self.protocol = case.factory.buildProtocol(None)
        self.record = Connection("1", "192.0.2.1:4711", "192.0.2.1", "l", "session", 0.0, 0.0)
        self.protocol.connection = self.record
        self.protocol.makeConnection(self.transport)

    def say(self, data: bytes) -> str:
        """What is answered to some bytes."""
        self.protocol.dataReceived(data)
        answer: str = self.transport.value().decode()
        self.transport.clear()
        return answer

    def ask(self, line: str) -> str:
        """The answer to one line, without its end."""
        answer = self.say(f"{line}\n".encode())
        assert answer.endswith("\n"), answer
        return answer.removesuffix("\n")

    def wants(self, line: str) -> str:
        """What is answered behind OK."""
        word, _, text = self.ask(line).partition(" ")
        assert word == "OK", text
        return str(text)

    def refused(self, line: str) -> str:
        """The code of the refusal."""
        word, code, text = self.ask(line).split(" ", 2)
        assert word == "ERR", text
        assert text
        return code

    def lose(self) -> None:
        """The connection is cut."""
        self.protocol.connectionLost(Failure(connectionDone.value))

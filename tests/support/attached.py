"""A session service whose sessions can be attached to a server that the test plays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionLost

from tcpsuite.core.attaching.frames import FrameReader
from tcpsuite.core.connections import Connection
from tcpsuite.net.attaching.attachments import Attachments
from tcpsuite.net.session_options import SessionRules
from tcpsuite.net.sessions import SessionManager
from tcpsuite.options import Duration
from tcpsuite.services.session import SessionFactory
from tcpsuite.stores.memory import MemoryStore
from tcpsuite.testing.endpoints import ScriptedTransport
from tests.support.upstreams import UpstreamCase

if TYPE_CHECKING:
    from tcpsuite.core.attaching.frames import Frame

BUFFER = 1000
TIMEOUT = 100.0
FIRST, SECOND = "01" * 8, "02" * 8
"""The marks of the connections that are made first."""
LOST = "ERR lost there is no such connection any more"


class Guest:
    """A client's connection to the session service.

    :ivar record: its record, which an end of its own adds nothing to.
    """

    def __init__(self, case: AttachCase, number: int) -> None:
        self.record = Connection(
            str(number), f"192.0.2.9:{number}", "192.0.2.9", "sessions", "session", 0.0, 0.0
        )
        self._case = case
        self.transport = ScriptedTransport()
        self.protocol: Any = case.factory.buildProtocol(None)
        self.transport.protocol = self.protocol
        self.protocol.connection = self.record
        self.protocol.makeConnection(self.transport)

    def say(self, data: bytes) -> bytes:
        """Send some bytes; what is answered."""
        self.transport.say(data)
        return self.heard()

    def heard(self) -> bytes:
        """What came since."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def ask(self, line: str) -> str:
        """The answer to one line."""
        return self.say(f"{line}\n".encode()).decode().removesuffix("\n")

    def frames(self) -> list[Frame]:
        """What came since, in frames."""
        return list(FrameReader().feed(self.heard()))

    @property
    def was_reset(self) -> bool:
        """Whether the suite has reset it, when what it does next is done."""
        self._case.clock.advance(0)
        return self.transport.disconnected

    def lose(self) -> None:
        """It is cut by the network."""
        self.transport.lose(ConnectionLost())


class AttachCase(UpstreamCase):
    """Sessions of whoever comes, attached to the server ``a``, or ``b``; connections are accepted at once."""

    shared = False

    def setUp(self) -> None:
        super().setUp()
        self.build("ab")
        self.guests = 0
        self.store = MemoryStore()
        self.store.shared = self.shared
        marks = iter(range(1, 256))
        self.attachments = Attachments(
            self.upstream,
            self.clock,
            timeout=TIMEOUT,
            buffer=BUFFER,
            random_bytes=lambda size: bytes([next(marks)] * size),
        )
        options = SessionRules(idle_timeout=Duration(1000.0))
        self.sessions = SessionManager(
            self.store, self.clock, options, connections=self.attachments, now=self.clock.seconds
        )
        self.factory = SessionFactory(self.clock, self.sessions, anonymous=True)

    def tearDown(self) -> None:
        self.successResultOf(self.sessions.stop())
        for endpoint in self.endpoints.values():
            endpoint.settle()
        super().tearDown()

    def guest(self) -> Guest:
        """One more connection."""
        self.guests += 1
        return Guest(self, self.guests)

    def opened(self) -> tuple[Guest, str]:
        """A connection on which a session is open, and its id."""
        guest = self.guest()
        return guest, guest.ask("OPEN").removeprefix("OK ")

    def resumed(self, session_id: str) -> Guest:
        """A connection that goes on with a session."""
        guest = self.guest()
        self.assertEqual(guest.ask(f"RESUME {session_id}"), "OK 0")
        return guest

    def attached(self, line: str = "ATTACH") -> tuple[Guest, ScriptedTransport, str]:
        """A connection that is attached, its server's, and the id of its session."""
        guest, session_id = self.opened()
        self.assertEqual(guest.ask(line), "")
        server = self.endpoints["a"].accept()
        self.assertRegex(guest.heard().decode().partition("\n")[0], "^OK [0-9a-f]{16} 0 0 1000$")
        return guest, server, session_id

    def figure(self, name: str) -> int:
        """One of the figures of attachments."""
        figures: dict[str, int] = self.sessions.figures()["attachments"]
        return figures[name]

"""A program, the client's half, and a suite, without a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.attaching.dialogue import Login
from tcpsuite.net.attaching.client import AttachClient
from tcpsuite.options import Secret
from tests.support.attaching import FakeSuite, connected

if TYPE_CHECKING:
    from tcpsuite.core.attaching.events import Event
    from tcpsuite.testing.endpoints import ScriptedTransport

ALICE = Login("alice", Secret("open sesame"))


class AttachCase(SynchronousTestCase):
    """Programs, the client's half, and a suite."""

    session = ""

    def setUp(self) -> None:
        self.start()

    def start(self) -> None:
        """A client of a suite."""
        self.clock = Clock()
        self.suite = FakeSuite(self.clock)
        self.events: list[Event] = []
        self.client = AttachClient(
            self.clock,
            self.suite,
            login=ALICE,
            session=self.session,
            patience=60.0,
            observer=self.events.append,
            chance=lambda: 1.0,
        )

    def program(self) -> ScriptedTransport:
        """A program connects."""
        transport = connected(self.client.buildProtocol(None))
        self.suite.run()
        return transport

    def run_for(self, seconds: float) -> None:
        """Time goes by, and what is said arrives."""
        steps = max(1, round(seconds / 0.05))
        for _ in range(steps):
            self.clock.advance(seconds / steps)
            self.suite.run()

    def from_server(self, data: bytes) -> None:
        """The server says something."""
        self.suite.server.say(data)
        self.suite.run()

    def from_program(self, program: ScriptedTransport, data: bytes) -> None:
        """A program says something."""
        program.say(data)
        self.suite.run()

    def nothing_left(self) -> None:
        """All is as it was before the first program."""
        self.assertEqual((self.client.carried, self.clock.getDelayedCalls()), (set(), []))

    def leave(self, program: ScriptedTransport) -> None:
        """A program and its server close, in this order."""
        program.finish()
        self.suite.run()
        self.suite.server.finish()
        self.suite.run()
        self.assertTrue(program.disconnecting and not program.disconnected, "closed in order")
        program.settle()

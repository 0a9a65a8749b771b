"""A conversation that is cut anywhere ends for all who take part in it, and leaves nothing."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.errors import Closed
from tests.net.mux.ends import Ends, HalfHeard, Made

SAID = bytes(range(256))


class Answering(HalfHeard):
    """Says what it hears, until the other has said all."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.transport.loseConnection()


class Conversation:
    """Some streams, in all that streams do, of which so many bytes arrive."""

    def __init__(self, most: int) -> None:
        self.left = most
        self.ends = Ends(served=Answering)
        self.opened = Made(HalfHeard)
        self.whole = self._talk()

    def _talk(self) -> bool:
        asking, giving, resetting = [self.ends.client.open(self.opened).transport for _ in range(3)]
        asking.write(SAID)
        giving.write(SAID[:100])
        giving.loseConnection()
        resetting.write(b"never mind")
        if not self._carry():
            return False
        resetting.abortConnection()
        self.ends.server.ping()
        asking.loseWriteConnection()
        if not self._carry():
            return False
        self.ends.server.close()
        return self._carry()

    def _carry(self) -> bool:
        """Carry bytes until nothing is left to say; tells whether all could be carried."""
        ends = self.ends
        while True:
            ends.clock.advance(0)
            moved = False
            for one, other in ((ends.client, ends.server), (ends.server, ends.client)):
                if data := one.transport.value():
                    moved = True
                    one.transport.clear()
                    other.dataReceived(data[: self.left])
                    if len(data) > self.left:
                        return False
                    self.left -= len(data)
            if not moved:
                return True

    def lose(self) -> None:
        """The connection is lost, at both ends."""
        for end in (self.ends.client, self.ends.server):
            end.connectionLost(connectionDone)


class CutTests(SynchronousTestCase):
    """The same conversation, cut at each byte."""

    def test_whole(self) -> None:
        """Left alone, it comes to its end."""
        talk = Conversation(10_000)
        self.assertTrue(talk.whole)
        asking, giving, resetting = talk.opened.protocols
        self.assertEqual((asking.data, asking.told[-1]), (SAID, "lost ConnectionDone"))
        self.assertEqual((giving.data, giving.told), (b"", ["lost ConnectionDone"]))
        self.assertEqual((resetting.data, resetting.told), (b"never mind", ["lost ConnectionAborted"]))
        self.assertTrue(talk.ends.client.transport.closed and talk.ends.server.transport.closed)
        talk.lose()

    def test_every_cut(self) -> None:
        """Wherever it is cut, each protocol hears of its end once, and no timer and no byte is left."""
        talk = Conversation(10_000)
        carried = 10_000 - talk.left
        talk.lose()
        self.assertGreater(carried, 800)
        for most in range(carried):
            talk = Conversation(most)
            self.assertFalse(talk.whole)
            talk.lose()
            for protocol in (*talk.opened.protocols, *talk.ends.served.protocols):
                ends = [told for told in protocol.told if told.startswith("lost")]
                self.assertEqual(len(ends), 1, f"{most}: {protocol.told}")
                self.assertTrue(
                    (SAID + b"never mind").startswith(protocol.data) or protocol.data in b"never mind"
                )
            self.assertEqual(talk.ends.clock.getDelayedCalls(), [])
            for end in (talk.ends.client, talk.ends.server):
                self.assertEqual((end.mux.streams, end.mux.unread), ({}, 0))
                self.assertRaises(Closed, end.open, talk.opened)
            self.assertEqual([who for who, _ in talk.ends.lost], ["client", "server"])

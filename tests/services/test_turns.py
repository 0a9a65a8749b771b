"""Line services answer a while, and then give the reactor to others."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import StringTransport

from tcpsuite.core.connections import Reason
from tcpsuite.services.lines import MAX_AHEAD, TURN
from tests.support.toy import LineCase


class TurnTests(LineCase):
    """Whoever sends many requests at once does not hold the others up."""

    work = b"WORK %f\n" % (TURN / 2)
    done = work.replace(b"WORK", b"OK").decode()

    def turn(self) -> int:
        """How many requests were answered in this turn of the reactor; then comes the next one."""
        count: int = self.transport.value().count(b"\n")
        self.transport.clear()
        calls: Any = self.clock.getDelayedCalls()
        if calls:
            call = calls[0]
            self.clock.calls.remove(call)
            call.func()
        return count

    def test_takes_turns(self) -> None:
        """After some milliseconds the others have their turn, whatever arrives meanwhile; the order stays."""
        self.toy.dataReceived(self.work * 5)
        self.toy.dataReceived(b"SAY 1\nX\nSA")
        self.assertEqual([self.turn() for _ in range(3)], [2, 2, 3])
        self.assertEqual(self.say(b"Y 2\n"), "OK 2\n")

    def test_does_not_read_meanwhile(self) -> None:
        """What waits for a turn is bounded: past that the peer is not read, and then it is again."""
        line = b"SAY " + b"1" * 123 + b"\n"
        self.toy.dataReceived(self.work * 2 + line * (MAX_AHEAD // 128))
        self.assertEqual(self.transport.producerState, "producing")
        self.toy.dataReceived(b"SAY 2\n")
        self.assertEqual(self.transport.producerState, "paused")
        self.assertTrue(self.answer().endswith("1\nOK 2\n"))
        self.assertEqual(self.transport.producerState, "producing")

    def test_half_closed(self) -> None:
        """A peer that sends nothing more is answered to the end."""
        self.toy.dataReceived(self.work * 3)
        self.toy.readConnectionLost()
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual(self.answer(), self.done * 3)
        self.assertTrue(self.transport.disconnecting)

    def test_peer_does_not_read(self) -> None:
        """A turn that comes while the peer does not read is not used."""
        self.toy.dataReceived(self.work * 3)
        self.toy.pauseProducing()
        self.assertEqual(self.answer(), self.done * 2)
        self.toy.resumeProducing()
        self.assertEqual(self.answer(), self.done)

    def test_ends_meanwhile(self) -> None:
        """A connection that ends has no turn any more."""
        for end in (self.lose, lambda: self.toy.close(Reason.DRAINED)):
            self.connect(StringTransport())
            self.toy.dataReceived(self.work * 3)
            end()
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.assertEqual(self.answer(), self.done * 2)

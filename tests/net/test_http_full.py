"""A client of HTTP that asks, and does not read what it is answered."""

from __future__ import annotations

from tcpsuite.net.http import MAX_AHEAD, PIPELINED, Phase
from tests.net.test_http import GET, BoundedCase


class FullTests(BoundedCase):
    def answers(self) -> int:
        count: int = self.transport.value().count(b"HTTP/1.1 200 ")
        return count

    def test_held(self) -> None:
        """While the transport is full, requests that came at once with an answered one are held, unread what
        comes behind them; when there is room they are answered.
        """
        self.channel.pauseProducing()
        self.channel.dataReceived(GET * 3)
        self.assertEqual(self.answers(), 1)
        self.assertIs(self.channel.phase, Phase.HELD)
        self.assertEqual(self.transport.producerState, "paused")
        self.clock.advance(1000)
        self.assertEqual(self.answers(), 1)
        self.channel.resumeProducing()
        self.turn()
        self.assertEqual(self.answers(), 3)
        self.assertEqual(self.transport.producerState, "producing")

    def test_nothing_behind(self) -> None:
        """Behind an answer for which there was no room nothing is read, until there is."""
        self.page.wait = True
        self.channel.dataReceived(GET)
        self.channel.pauseProducing()
        self.assertEqual(self.transport.producerState, "producing")
        self.page.waiting.pop().finish()
        self.assertEqual(self.transport.producerState, "paused")
        self.assertIs(self.channel.phase, Phase.IDLE)
        self.channel.resumeProducing()
        self.assertEqual(self.transport.producerState, "producing")

    def test_full_before_the_turn(self) -> None:
        """Requests that wait for their turn wait for room as well."""
        self.channel.dataReceived(GET * (PIPELINED + 1))
        self.channel.pauseProducing()
        self.turn()
        self.assertEqual(self.answers(), PIPELINED)
        self.channel.resumeProducing()
        self.turn()
        self.assertEqual(self.answers(), PIPELINED + 1)

    def test_room_before_the_turn(self) -> None:
        """Room that comes before their turn gives them no second one."""
        self.channel.dataReceived(GET * (2 * PIPELINED + 1))
        self.channel.pauseProducing()
        self.channel.resumeProducing()
        self.assertEqual(self.transport.producerState, "paused")
        self.turn()
        self.assertEqual(self.answers(), 2 * PIPELINED)

    def test_bound(self) -> None:
        """Behind a request that takes its time a bounded number of bytes is read, whether the transport is
        full or not.
        """
        for full in (False, True):
            self.page.wait = True
            self.channel.dataReceived(GET)
            if full:
                self.channel.pauseProducing()
            self.channel.dataReceived(b"x" * MAX_AHEAD)
            self.assertEqual(self.transport.producerState, "producing")
            self.channel.dataReceived(b"x")
            self.assertEqual(self.transport.producerState, "paused")
            if full:
                self.channel.resumeProducing()
                self.assertEqual(self.transport.producerState, "paused")
            self.lose()
            self.connect()

    def test_half_closed(self) -> None:
        """Held requests of one who has closed its side are answered before it is closed."""
        self.channel.pauseProducing()
        self.channel.dataReceived(GET * 3)
        self.channel.readConnectionLost()
        self.assertFalse(self.transport.disconnecting)
        self.channel.resumeProducing()
        self.turn()
        self.assertEqual(self.answers(), 3)
        self.assertTrue(self.transport.disconnecting)

    def test_drained(self) -> None:
        """When the last port closes, the first of those that are held is answered, and is the last."""
        self.channel.pauseProducing()
        self.channel.dataReceived(GET * 3)
        self.site.doStop()
        self.channel.resumeProducing()
        self.turn()
        self.assertEqual(self.answers(), 2)
        self.assertTrue(self.transport.disconnecting)

    def test_nothing_is_taken_while_it_closes(self) -> None:
        """What comes while the last answers leave is dropped."""
        self.site.doStop()
        self.channel.dataReceived(GET)
        self.assertTrue(self.transport.disconnecting)
        self.channel.dataReceived(GET * 1000)
        self.assertEqual(self.answers(), 0)
        self.assertEqual(self.channel._dataBuffer, [])

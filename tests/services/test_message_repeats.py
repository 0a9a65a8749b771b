"""Requests to the message service that may come again."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.messages import wire
from tests.services.asking import Service


class RepeatTests(SynchronousTestCase):
    """Requests that may come again."""

    CLIENT = bytes(range(16))

    def setUp(self) -> None:
        self.service = Service()
        self.slow = self.service.slow
        self.client = self.service.connect()

    def test_answered(self) -> None:
        """Who asks again, on any stream, is told the same, and the method is not called again."""
        self.assertEqual(self.client.ask(1, "slow", b"x", client=self.CLIENT), [])
        self.slow.answers[0].callback(b"once")
        again = self.service.connect()
        self.assertEqual(again.ask(1, "slow", b"x", client=self.CLIENT), [(1, b"once")])
        self.assertEqual(again.ask(2, "slow", b"x", client=self.CLIENT), [])
        self.assertEqual(self.service.connect().ask(1, "slow", b"x", client=bytes(16)), [])
        self.assertEqual(len(self.slow.bodies), 3)
        self.service.clock.advance(61)
        self.assertEqual(again.ask(1, "slow", b"x", client=self.CLIENT), [])

    def test_at_once(self) -> None:
        """So it is with answers that take no time, and with errors."""
        for number, method, answer in ((1, "echo", b""), (2, "discard", b""), (3, "generate", "usage")):
            for _ in range(2):
                self.assertEqual(self.client.ask(number, method, client=self.CLIENT), [(number, answer)])
        self.assertEqual(self.service.factory.repeats.repeated, 3)

    def test_running(self) -> None:
        """Who asks again while the method is at it has the answer: a stream that is lost cancels nothing."""
        self.client.ask(1, "slow", timeout=5000, client=self.CLIENT)
        self.client.transport.lose(ConnectionLost())
        self.assertEqual(self.slow.cancelled, 0)
        again = self.service.connect()
        again.ask(1, "slow", timeout=5000, client=self.CLIENT)
        self.slow.answers[0].callback(b"once")
        self.assertEqual((again.heard(), len(self.slow.bodies)), ([(1, b"once")], 1))
        self.assertEqual(self.service.clock.getDelayedCalls(), [])

    def test_moved(self) -> None:
        """The answer goes to the last stream that asked, even when the one before still seems to be there."""
        self.client.ask(1, "slow", client=self.CLIENT)
        again = self.service.connect()
        again.ask(1, "slow", client=self.CLIENT)
        self.client.transport.lose(ConnectionLost())
        self.slow.answers[0].callback(b"once")
        self.assertEqual((self.client.heard(), again.heard()), ([], [(1, b"once")]))

    def test_given_up(self) -> None:
        """One that nobody asks for again is cancelled when that is no longer expected; cancelled by its
        client it is forgotten.
        """
        self.client.ask(1, "slow", client=self.CLIENT)
        self.client.ask(2, "slow", client=self.CLIENT)
        self.client.transport.say(wire.cancel(2))
        self.assertEqual(self.slow.cancelled, 1)
        self.assertEqual(self.client.ask(2, "echo", client=self.CLIENT), [(2, b"")])
        self.client.transport.lose(ConnectionLost())
        self.service.clock.advance(59)
        self.assertEqual(self.slow.cancelled, 1)
        self.service.clock.advance(2)
        self.assertEqual(self.slow.cancelled, 2)
        self.assertEqual(self.service.clock.getDelayedCalls(), [])

"""Blocks leave as fast as they are taken, and no faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net.sending import Sending

if TYPE_CHECKING:
    from collections.abc import Generator


class SendingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = StringTransport()
        self.closed = False
        self.sending = Sending(self.blocks(), self.clock)

    def tearDown(self) -> None:
        self.assertTrue(self.closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def blocks(self) -> Generator[bytes, None, None]:
        try:
            yield b"one"
            yield b"two"
            yield b"three"
        finally:
            self.closed = True

    def test_all(self) -> None:
        """All blocks are written, one in each turn of the reactor; then it is no producer any more."""
        done = self.sending.send_to(self.transport)
        self.assertEqual(self.transport.value(), b"one")
        self.clock.advance(0)
        self.assertEqual(self.transport.value(), b"onetwothree")
        self.successResultOf(done)
        self.assertIsNone(self.transport.producer)

    def test_paused(self) -> None:
        """While it is paused no block is asked for."""
        done = self.sending.send_to(self.transport)
        self.sending.pauseProducing()
        self.clock.advance(10)
        self.assertEqual(self.transport.value(), b"one")
        self.sending.resumeProducing()
        self.assertEqual(self.transport.value(), b"onetwo")
        self.sending.resumeProducing()
        self.clock.advance(0)
        self.successResultOf(done)
        self.assertEqual(self.transport.value(), b"onetwothree")

    def test_paused_by_writing(self) -> None:
        """A consumer that has no room for more says so while it takes a block."""

        class Narrow(StringTransport):
            def write(self, data: bytes) -> None:
                super().write(data)
                self.producer.pauseProducing()  # type: ignore[union-attr]

        transport = Narrow()
        done = self.sending.send_to(transport)
        for expected in (b"one", b"onetwo", b"onetwothree"):
            self.clock.advance(1)
            self.assertEqual(transport.value(), expected)
            self.sending.resumeProducing()
        self.successResultOf(done)

    def test_consumer_gone(self) -> None:
        """A consumer that is gone ends it, as if it were cancelled."""
        done = self.sending.send_to(self.transport)
        self.sending.stopProducing()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.transport.value(), b"one")

    def test_consumer_gone_before(self) -> None:
        """So does one that was gone before."""

        class Gone(StringTransport):
            def registerProducer(self, producer: object, streaming: bool) -> None:
                producer.stopProducing()  # type: ignore[attr-defined]

        next(self.blocks())
        done = self.sending.send_to(Gone())
        self.failureResultOf(done, CancelledError)
        self.closed = True

    def test_cancelled(self) -> None:
        """Cancelling ends it where it is, and a consumer that goes later means nothing."""
        done = self.sending.send_to(self.transport)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertIsNone(self.transport.producer)
        self.sending.stopProducing()

    def test_failed(self) -> None:
        """What the blocks raise fails it."""

        def broken() -> Generator[bytes, None, None]:
            yield b"one"
            raise ZeroDivisionError

        self.sending = Sending(broken(), self.clock)
        done = self.sending.send_to(self.transport)
        self.clock.advance(0)
        self.failureResultOf(done, ZeroDivisionError)
        self.assertIsNone(self.transport.producer)
        self.closed = True


class WaitingTests(SynchronousTestCase):
    """What is not there yet is waited for."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = StringTransport()
        self.cancelled: list[object] = []
        self.wanted: Deferred[None] = Deferred(self.cancelled.append)
        self.sending = Sending(self.blocks(), self.clock)
        self.done = self.sending.send_to(self.transport)
        self.clock.advance(0)
        self.assertEqual(self.transport.value(), b"one")

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def blocks(self) -> Generator[bytes | Deferred[None], None, None]:
        yield b"one"
        yield self.wanted
        yield b"two"

    def test_waited(self) -> None:
        """It goes on when that is there, and not before, though there is room."""
        self.sending.pauseProducing()
        self.sending.resumeProducing()
        self.clock.advance(10)
        self.assertEqual(self.transport.value(), b"one")
        self.wanted.callback(None)
        self.clock.advance(0)
        self.assertEqual(self.transport.value(), b"onetwo")
        self.successResultOf(self.done)

    def test_paused_meanwhile(self) -> None:
        """It does not go on when there is no room by then."""
        self.sending.pauseProducing()
        self.wanted.callback(None)
        self.clock.advance(10)
        self.assertEqual(self.transport.value(), b"one")
        self.sending.resumeProducing()
        self.clock.advance(0)
        self.successResultOf(self.done)

    def test_there_already(self) -> None:
        """What is there already is not waited for."""
        self.wanted.callback(None)
        transport = StringTransport()
        done = Sending(self.blocks(), self.clock).send_to(transport)
        self.clock.pump([0, 0, 0])
        self.assertEqual(transport.value(), b"onetwo")
        self.successResultOf(done)
        self.successResultOf(self.done)

    def test_failed(self) -> None:
        """It fails as that does."""
        self.wanted.errback(ZeroDivisionError())
        self.failureResultOf(self.done, ZeroDivisionError)
        self.assertIsNone(self.transport.producer)

    def test_consumer_gone(self) -> None:
        """When the consumer goes, that is not wanted any more."""
        self.sending.stopProducing()
        self.failureResultOf(self.done, CancelledError)
        self.assertEqual(self.cancelled, [self.wanted])

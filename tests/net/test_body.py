"""What arrives waits for its reader, up to a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net.body import MAX_AHEAD, Body

if TYPE_CHECKING:
    from collections.abc import Coroutine


class BodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.paused = False
        self.body = Body(lambda: self.pause(True), lambda: self.pause(False))

    def pause(self, paused: bool) -> None:
        self.paused = paused

    def read(self) -> Deferred[bytes]:
        reading: Coroutine[Deferred[Any], Any, bytes] = self.body.read()
        return Deferred.fromCoroutine(reading)

    def test_there_already(self) -> None:
        """What is there is read at once, all of it."""
        self.body.feed(b"one")
        self.body.feed(b"")
        self.body.feed(b"two")
        self.assertEqual(self.successResultOf(self.read()), b"onetwo")
        self.assertEqual(self.body.received, 6)

    def test_waits(self) -> None:
        """A reader waits for the first byte, or for the end."""
        reading = self.read()
        self.assertNoResult(reading)
        self.body.feed(b"one")
        self.assertEqual(self.successResultOf(reading), b"one")
        reading = self.read()
        self.body.end()
        self.assertEqual(self.successResultOf(reading), b"")
        self.assertEqual(self.successResultOf(self.read()), b"")

    def test_end_behind_what_is_there(self) -> None:
        """The end comes behind the last byte."""
        self.body.feed(b"one")
        self.body.end()
        self.assertEqual(self.successResultOf(self.read()), b"one")
        self.assertEqual(self.successResultOf(self.read()), b"")

    def test_full(self) -> None:
        """Past the bound who feeds is paused, until all was read."""
        self.body.feed(b"x" * MAX_AHEAD)
        self.assertFalse(self.paused)
        self.body.feed(b"x")
        self.assertTrue(self.paused)
        self.successResultOf(self.read())
        self.assertFalse(self.paused)

    def test_failed(self) -> None:
        """A failure drops what is there, and whatever comes; the first one counts."""
        self.body.feed(b"x" * (MAX_AHEAD + 1))
        self.body.fail(ZeroDivisionError())
        self.assertFalse(self.paused)
        self.body.fail(KeyError())
        self.body.feed(b"x")
        for _ in range(2):
            self.failureResultOf(self.read(), ZeroDivisionError)
        self.assertIn("failed", repr(self.body))

    def test_failed_while_read(self) -> None:
        """A reader that waits is told."""
        reading = self.read()
        self.body.fail(ZeroDivisionError())
        self.failureResultOf(reading, ZeroDivisionError)

    def test_failed_behind_the_end(self) -> None:
        """What is complete cannot fail any more."""
        self.body.feed(b"all")
        self.body.end()
        self.body.fail(ZeroDivisionError())
        self.assertEqual(self.successResultOf(self.read()), b"all")
        self.assertEqual(repr(self.body), "<Body complete received=3 held=0>")

    def test_reader_cancelled(self) -> None:
        """A reader that was cancelled is not woken; the next one reads on."""
        reading = self.read()
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        self.body.feed(b"one")
        self.assertEqual(self.successResultOf(self.read()), b"one")
        self.assertIn("open", repr(self.body))

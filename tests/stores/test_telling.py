"""One event that several wait for."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.stores.telling import told


class ToldTests(SynchronousTestCase):
    """Each who waits has a Deferred of their own."""

    def setUp(self) -> None:
        self.event: Deferred[Any] = Deferred()

    def test_all_are_told(self) -> None:
        """All hear of it, those too who come afterwards; what it came to is for nobody of them."""
        early = told(self.event)
        self.assertNoResult(early)
        self.event.callback("result")
        for waiter in (early, told(self.event)):
            self.assertIsNone(self.successResultOf(waiter))
        self.assertEqual(self.successResultOf(self.event), "result")

    def test_failed(self) -> None:
        """That it has failed is no reason to wait for ever; the failure is not swallowed."""
        waiter = told(self.event)
        self.event.errback(Failure(ZeroDivisionError()))
        self.assertIsNone(self.successResultOf(waiter))
        self.failureResultOf(self.event, ZeroDivisionError)

    def test_cancelled(self) -> None:
        """Who waits no more leaves the others waiting, and the event alone."""
        one, other = told(self.event), told(self.event)
        one.addErrback(lambda _: None)
        one.cancel()
        self.assertNoResult(other)
        self.event.callback(None)
        self.successResultOf(other)

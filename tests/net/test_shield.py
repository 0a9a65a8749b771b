"""Work ends, whoever stops waiting for it."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net.shield import finished, shield


class ShieldTests(SynchronousTestCase):
    def test_result(self) -> None:
        """It fires as the work does."""
        work: Deferred[int] = Deferred()
        waiter = shield(work)
        work.callback(1)
        self.assertEqual(self.successResultOf(waiter), 1)

    def test_cancelled(self) -> None:
        """Cancelling it leaves the work alone."""
        work: Deferred[int] = Deferred()
        waiter = shield(work)
        waiter.cancel()
        self.failureResultOf(waiter, CancelledError)
        self.assertFalse(work.called)
        work.callback(1)


class FinishedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.work: Deferred[int] = Deferred()
        self.stopped = 0
        self.waiter = Deferred.fromCoroutine(finished(self.work, self.stop))

    def stop(self) -> None:
        self.stopped += 1

    def test_result(self) -> None:
        """It gives what the work gives."""
        self.work.callback(1)
        self.assertEqual(self.successResultOf(self.waiter), 1)
        self.assertEqual(self.stopped, 0)

    def test_failure(self) -> None:
        """It fails as the work does, and when the work was cancelled too."""
        self.work.errback(ZeroDivisionError())
        self.failureResultOf(self.waiter, ZeroDivisionError)
        work: Deferred[int] = Deferred()
        waiter = Deferred.fromCoroutine(finished(work))
        work.cancel()
        self.failureResultOf(waiter, CancelledError)

    def test_cancelled(self) -> None:
        """Who is cancelled, once or more often, waits until the work has ended."""
        for count in (1, 2):
            self.waiter.cancel()
            self.assertEqual(self.stopped, 1, count)
            self.assertNoResult(self.waiter)
        self.work.callback(1)
        self.failureResultOf(self.waiter, CancelledError)

    def test_cancelled_while_the_work_waits_for_other_work(self) -> None:
        """Work that was begun and waits for a result has not ended."""
        inner: Deferred[int] = Deferred()
        places = DeferredSemaphore(1)
        for work in (places.run(lambda: inner), places.run(lambda: inner)):
            waiter = Deferred.fromCoroutine(finished(work))
            waiter.addErrback(lambda failure: failure.trap(CancelledError))
            waiter.cancel()
            self.assertNoResult(waiter)
        inner.callback(1)
        self.assertIs(self.successResultOf(waiter), CancelledError)
        self.work.callback(1)
        self.successResultOf(self.waiter)

    def test_cancelled_and_failed(self) -> None:
        """How the work ends is then told to nobody."""
        waiter = Deferred.fromCoroutine(finished(work := Deferred[int]()))
        waiter.cancel()
        work.errback(ZeroDivisionError())
        self.failureResultOf(waiter, CancelledError)
        self.work.callback(1)
        self.successResultOf(self.waiter)

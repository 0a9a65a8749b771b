"""Work takes so many threads, and no more."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net.places import Places


class PlacesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.begun: list[Deferred[int]] = []
        self.places = Places(self.in_thread, 2)

    def in_thread(self, function: object, *arguments: object) -> Deferred[int]:
        self.begun.append(Deferred())
        return self.begun[-1]

    def run_one(self) -> Deferred[int]:
        return Deferred.fromCoroutine(self.places.run(len, b""))

    def test_so_many(self) -> None:
        """Who finds no place waits for one; what fails gives its place away too."""
        work = [self.run_one() for _ in range(3)]
        self.assertEqual(len(self.begun), 2)
        self.assertEqual(repr(self.places), "<Places taken=2 waiting=1>")
        self.begun[0].errback(ZeroDivisionError())
        self.failureResultOf(work[0], ZeroDivisionError)
        self.assertEqual(len(self.begun), 3)
        for number in (1, 2):
            self.begun[number].callback(number)
            self.assertEqual(self.successResultOf(work[number]), number)
        self.assertEqual(repr(self.places), "<Places taken=0 waiting=0>")

    def test_cancelled_while_it_waits(self) -> None:
        """Who is cancelled before there is a place is so at once, and takes none."""
        work = [self.run_one() for _ in range(3)]
        work[2].cancel()
        self.failureResultOf(work[2], CancelledError)
        self.assertEqual(repr(self.places), "<Places taken=2 waiting=0>")
        for number in (0, 1):
            self.begun[number].callback(number)
            self.successResultOf(work[number])
        self.assertEqual(len(self.begun), 2)

    def test_cancelled_while_it_works(self) -> None:
        """Who is cancelled while a thread works keeps its place until the thread has ended."""
        work = self.run_one()
        work.cancel()
        self.assertNoResult(work)
        self.assertEqual(repr(self.places), "<Places taken=1 waiting=0>")
        self.begun[0].callback(0)
        self.failureResultOf(work, CancelledError)
        self.assertEqual(repr(self.places), "<Places taken=0 waiting=0>")

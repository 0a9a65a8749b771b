"""Uploads over HTTP that are cut, or for which there is little room."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost

from tcpsuite.core.connections import Reason
from tcpsuite.net.body import MAX_AHEAD
from tests.services.files.put_case import PutCase, digest
from tests.support.files import Client, left_behind


class CutTests(PutCase):
    """Wherever an upload is cut, nothing is left of it."""

    def test_at_every_byte(self) -> None:
        """Cut at every byte, or reset, it leaves nothing."""
        request = self.head(Content_Length=5, Repr_Digest=digest(b"hello")) + b"hello"
        for end in range(0, len(request), 3):
            for fault in (None, ConnectionLost()):
                client = Client(self, self.site)
                client.protocol.dataReceived(request[:end])
                client.lose(fault)
                self.assert_nothing()
        self.assertEqual(self.clock.getDelayedCalls()[1:], [])

    def test_while_the_password_is_checked(self) -> None:
        """Cut before it is known who it is, it never began."""
        self.hold_logins()
        for body in (b"hell", b"hello"):
            client = Client(self, self.site)
            client.protocol.dataReceived(self.head() + body)
            client.lose()
            self.assert_nothing()

    def test_while_it_is_written(self) -> None:
        """Cut while a thread writes, it is removed when the thread is done, and not before."""
        self.threads.wait = True
        self.client.say(self.head() + b"hell")
        self.client.lose()
        self.assertEqual(len(self.threads.waiting), 1)
        self.assertEqual(len(left_behind(self.root)), 1)
        self.threads.work()
        self.assert_nothing()

    def test_while_it_is_put_in_its_place(self) -> None:
        """Cut when all of it has arrived, it is stored: that can no longer be helped."""
        self.threads.wait = True
        self.client.say(self.head() + b"hello")
        write = self.threads.waiting.pop()
        write[0].callback(write[1](*write[2]))
        self.client.lose()
        self.threads.work()
        self.assertEqual(self.content(), b"hello")
        self.assertEqual(left_behind(self.root), [])

    def test_too_slow(self) -> None:
        """A body that stands still is refused, and what there was of it removed."""
        self.client.say(self.head() + b"hell")
        self.clock.advance(31)
        self.assertTrue(self.client.answer().startswith(b"HTTP/1.1 408 "))
        self.clock.advance(6)
        self.client.lose()
        self.assert_nothing()
        self.assertIs(self.client.record.reason, Reason.DEADLINE)


class PressureTests(PutCase):
    max_upload = 10_000_000

    def test_slow_disk(self) -> None:
        """While the disk is slow the client is not read; then it is."""
        self.threads.wait = True
        size = 20 * 65536
        self.client.protocol.dataReceived(self.head(Content_Length=size))
        sent = 0
        while self.client.transport.producerState == "producing":
            self.client.protocol.dataReceived(b"x" * 65536)
            sent += 65536
        self.assertLess(sent, MAX_AHEAD + 3 * 65536)
        self.threads.work()
        self.assertEqual(self.client.transport.producerState, "producing")
        self.client.protocol.dataReceived(b"x" * (size - sent))
        self.assertTrue(self.client.answer().startswith(b"HTTP/1.1 201 "))
        self.assertEqual((self.root / "new").stat().st_size, size)

    def test_before_the_password_is_checked(self) -> None:
        """What comes before it is known who it is waits, up to a bound."""
        checks = self.hold_logins()
        size = MAX_AHEAD + 65536
        self.client.protocol.dataReceived(self.head(Content_Length=size))
        for _ in range(0, size - 65536, 65536):
            self.assertEqual(self.client.transport.producerState, "producing")
            self.client.protocol.dataReceived(b"x" * 65536)
        self.client.protocol.dataReceived(b"x" * 65535)
        self.assertEqual(self.client.transport.producerState, "paused")
        checks[0].callback(b"ada")
        self.assertEqual(self.client.transport.producerState, "producing")
        self.assertTrue(self.client.say(b"x").startswith(b"HTTP/1.1 201 "))

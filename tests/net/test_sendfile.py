"""The kernel sends files, in bounded steps, when there is room."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from twisted.internet import tcp
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.errors import ProtocolError
from tcpsuite.net.kernel import unsent
from tcpsuite.net.pagecache import AHEAD, Extent, PageCache
from tcpsuite.net.sendfile import STEP, FileSending, sends_files
from tcpsuite.net.transport import UNIXStream
from tests.support.files import Threads

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from tcpsuite.net.pagecache import Piece

CONTENT = os.urandom(2 * STEP + 1000)


class Cache(PageCache):
    """A cache that may be told that it holds nothing."""

    cold = False

    def holds(self, fd: int, at: int, count: int) -> bool:
        return not self.cold


class SendingCase(SynchronousTestCase):
    """A transport on one end of a pair of sockets, that a test lets write."""

    kind: Any = UNIXStream

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        ours, self.peer = socket.socketpair()
        for end in (ours, self.peer):
            end.setblocking(False)
        self.addCleanup(self.peer.close)
        self.transport = self.connect(ours)
        self.addCleanup(self.lose)
        self.threads = Threads()
        self.cache = Cache(self.threads)
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.path = Path(holder.name) / "file"
        self.path.write_bytes(CONTENT)
        self.fd = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, self.fd)

    def connect(self, ours: socket.socket) -> Any:
        """The transport."""
        return UNIXStream(ours, Protocol(), "peer", None, 1, self.reactor)

    def lose(self) -> None:
        """The connection is gone."""
        if self.transport.connected:
            self.transport.connectionLost(Failure(ConnectionDone()))

    def send(self, *pieces: Piece) -> Deferred[None]:
        """Begin to send; the whole file, if nothing else is said."""
        self.sending = FileSending(pieces or [Extent(self.fd, 0, len(CONTENT))], self.cache)
        return self.sending.send_to(self.transport)

    def turn(self) -> Any:
        """The reactor says that there is room, to a transport that has asked for it."""
        self.assertIn(self.transport, self.reactor.writers)
        return self.transport.doWrite()

    def take(self) -> bytes:
        """What the peer has to read now."""
        found = b""
        try:
            while data := self.peer.recv(1 << 20):
                found += data
        except BlockingIOError:
            pass
        return found

    def all(self) -> bytes:
        """What the peer gets until the transport has nothing more to write."""
        found = b""
        while self.transport in self.reactor.writers:
            self.assertIsNone(self.turn())
            found += self.take()
        return found


class StepsTests(SendingCase):
    def test_whole(self) -> None:
        """All of it arrives, in order, behind what was written before."""
        self.transport.write(b"before ")
        done = self.send(
            b"head ", Extent(self.fd, 0, len(CONTENT)), b" middle ", Extent(self.fd, 5, 10), b"."
        )
        whole = b"before head " + CONTENT + b" middle " + CONTENT[5:10] + b"."
        self.assertEqual(self.take(), b"")
        self.assertEqual(self.all(), whole)
        self.successResultOf(done)
        self.assertIsNone(self.transport.producer)

    def test_one_step_a_turn(self) -> None:
        """A step is bounded, however much room there is, and the others have their turn before the next."""
        steps: list[int] = []

        def roomy(out: int, fd: int, at: int, count: int) -> int:
            steps.append(count)
            return count

        with mock.patch.object(os, "sendfile", roomy):
            done = self.send()
            self.assertEqual(steps, [])
            for number in (1, 2, 3):
                self.assertNoResult(done)
                self.turn()
                self.assertEqual(len(steps), number)
        self.successResultOf(done)
        self.assertEqual(steps, [STEP, STEP, 1000])

    def test_no_room(self) -> None:
        """While the peer does not read nothing moves, nothing is in memory, and nothing is lost."""
        done = self.send()
        before = -1
        while (now := unsent(self.transport)) != before:
            before = now
            self.turn()
        self.turn()
        self.assertNoResult(done)
        self.assertEqual(unsent(self.transport), before)
        found = self.take()
        self.assertEqual(unsent(self.transport), 0)
        self.assertEqual(found + self.all(), CONTENT)
        self.successResultOf(done)

    def test_nothing(self) -> None:
        """What is empty is done at once."""
        self.successResultOf(self.send(Extent(self.fd, 3, 3)))
        self.assertIsNone(self.transport.producer)

    def test_grown(self) -> None:
        """Of a file that grows, what was promised is sent."""
        done = self.send()
        with self.path.open("ab") as file:
            file.write(b"more")
        self.assertEqual(self.all(), CONTENT)
        self.successResultOf(done)

    def test_shrunk(self) -> None:
        """A file that ends too early fails it: nothing is made up."""
        done = self.send()
        os.truncate(self.path, 10)
        self.assertEqual(self.all(), CONTENT[:10])
        self.assertEqual(self.failureResultOf(done, ProtocolError).value.code, "changed")
        self.assertIsNone(self.transport.producer)

    def test_closing_behind_it(self) -> None:
        """A connection that is closed meanwhile is closed when all was sent."""
        done = self.send()
        self.transport.loseConnection()
        found = b""
        while (result := self.turn()) is None:
            found += self.take()
        self.assertEqual(found + self.take(), CONTENT)
        self.assertIsInstance(result, ConnectionDone)
        self.successResultOf(done)


class StockTests(StepsTests):
    """The same on a transport that is Twisted's own; nobody counts there."""

    def connect(self, ours: socket.socket) -> Any:
        """The transport."""
        transport: Any = tcp.Connection(ours, Protocol(), self.reactor)
        transport.connected = 1
        return transport


class ColdTests(SendingCase):
    def setUp(self) -> None:
        super().setUp()
        self.cache.cold = self.threads.wait = True

    def test_fetched_first(self) -> None:
        """What is not in memory is fetched first, when there is room; meanwhile the transport rests."""
        done = self.send()
        self.assertEqual(self.threads.waiting, [])
        self.turn()
        self.assertNotIn(self.transport, self.reactor.writers)
        self.assertEqual(len(self.threads.waiting), 1)
        self.assertEqual(self.take(), b"")
        self.threads.work()
        self.assertEqual(self.all(), CONTENT)
        self.successResultOf(done)

    def test_in_stretches(self) -> None:
        """A large file is fetched a stretch at a time, when the one before has left."""
        os.truncate(self.path, 2 * AHEAD + 1)
        self.threads.wait = False
        with mock.patch.object(self.cache, "fetch", wraps=self.cache.fetch) as fetch:
            done = self.send(Extent(self.fd, 0, 2 * AHEAD + 1))
            self.assertEqual(len(self.all()), 2 * AHEAD + 1)
        self.successResultOf(done)
        stretches = [(0, AHEAD), (AHEAD, AHEAD), (2 * AHEAD, 1)]
        self.assertEqual(fetch.mock_calls, [mock.call(self.fd, *stretch) for stretch in stretches])

    def test_written_meanwhile(self) -> None:
        """What somebody else writes while it is fetched makes it no earlier."""
        done = self.send()
        self.turn()
        self.transport.write(b"aside")
        self.turn()
        self.assertEqual(self.take(), b"aside")
        self.assertNotIn(self.transport, self.reactor.writers)
        self.threads.work()
        self.assertEqual(self.all(), CONTENT)
        self.successResultOf(done)

    def test_failed(self) -> None:
        """A disk that fails, fails it."""
        with mock.patch.object(os, "preadv", side_effect=OSError(errno.EIO, "broken")):
            done = self.send()
            self.turn()
            self.threads.work()
        self.assertEqual(self.failureResultOf(done, OSError).value.errno, errno.EIO)
        self.assertIsNone(self.transport.producer)

    def test_gone_meanwhile(self) -> None:
        """What is fetched for a peer that goes meanwhile is fetched no further."""
        done = self.send()
        self.turn()
        self.lose()
        self.failureResultOf(done, CancelledError)
        with mock.patch.object(os, "preadv") as reading:
            self.threads.work()
        self.assertEqual(reading.mock_calls, [])
        self.assertEqual(repr(self.cache), "<PageCache reading=0 waiting=0>")


class FaultTests(SendingCase):
    def test_counted(self) -> None:
        """What the kernel has taken is counted by the transport, whoever gave it."""
        done = self.send(b"head", Extent(self.fd, 0, len(CONTENT)))
        for _ in range(4):
            self.turn()
        found = self.take()
        self.assertEqual(self.transport.bytes_out, len(found))
        self.assertEqual(found + self.all(), b"head" + CONTENT)
        self.assertEqual(self.transport.bytes_out, 4 + len(CONTENT))
        self.successResultOf(done)

    def test_peer_gone(self) -> None:
        """A peer that is gone is found by the transport, as with everything that is written."""
        done = self.send()
        self.turn()
        self.peer.close()
        for _ in range(5):
            result = self.turn()
            if result is not None:
                break
        self.assertIs(result, CONNECTION_LOST)
        self.assertNoResult(done)
        self.lose()
        self.failureResultOf(done, CancelledError)

    def test_file_system_cannot(self) -> None:
        """A file system whose files the kernel cannot send is read instead, as the peer takes it."""
        for code in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            with mock.patch.object(os, "sendfile", side_effect=OSError(code, "no")):
                done = self.send()
                self.turn()
                self.assertLess(unsent(self.transport), STEP)
                self.assertEqual(self.take() + self.all(), CONTENT)
            self.successResultOf(done)

    def test_disk_failed(self) -> None:
        """A file that cannot be read fails it."""
        directory = os.open("/", os.O_RDONLY)
        self.addCleanup(os.close, directory)
        done = self.send(Extent(directory, 0, STEP))
        self.assertIsNone(self.turn())
        self.failureResultOf(done, IsADirectoryError)
        self.assertIsNone(self.transport.producer)

    def test_cancelled(self) -> None:
        """Cancelling ends it where it is; the transport is as good as before."""
        done = self.send()
        self.turn()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertIsNone(self.transport.producer)
        sent = self.take()
        self.assertTrue(CONTENT.startswith(sent))
        self.transport.write(b"after")
        self.assertEqual(self.all(), b"after")
        self.sending.stopProducing()

    def test_gone_before(self) -> None:
        """A transport that is gone takes nothing."""
        self.lose()
        self.failureResultOf(self.send(), CancelledError)


class WhereTests(SendingCase):
    def test_sockets(self) -> None:
        """Stream sockets can have files sent to them, unless there is TLS on them."""
        self.assertTrue(sends_files(self.transport))
        self.transport.TLS = True
        self.assertFalse(sends_files(self.transport))

    def test_others(self) -> None:
        """What only looks like a transport cannot."""
        self.assertFalse(sends_files(StringTransport()))

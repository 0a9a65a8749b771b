"""How a joined pair of transports reads when much comes: in larger pieces, and to the same effect."""

from __future__ import annotations

import errno
import random
import socket
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net.stream import BULK_SIZE, READ_SIZE
from tcpsuite.net.transport import adopt

ROOM = 4 << 20
"""Bytes that a socket in between holds."""
DATA = random.Random(5).randbytes(3 * BULK_SIZE)


class Keeping(Protocol):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.received: list[object] = []

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)


class Narrow(socket.socket):
    """A socket whose peer takes a little more, and then nothing, while ``room`` is a number of bytes."""

    room: int | None = None

    def send(self, data: Any, flags: int = 0) -> int:
        """Send what there is room for."""
        if self.room is None:
            return super().send(data, flags)
        room, self.room = self.room, 0
        if not room:
            raise BlockingIOError(errno.EAGAIN, "no room")
        return super().send(data[:room], flags)


class BulkTests(SynchronousTestCase):
    """A source and a sink, and two joined transports between them that the tests turn by hand."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.source, near = self.pair()
        self.sink, self.way_out = self.pair()
        self.protocol = Keeping()
        self.near: Any = adopt(self.reactor, near, self.protocol, ("127.0.0.1", 1))
        self.far: Any = adopt(self.reactor, self.way_out, Protocol(), ("127.0.0.1", 2))
        self.near.join(self.far)

    def pair(self) -> tuple[socket.socket, Narrow]:
        """Two ends of a TCP connection."""
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            one = socket.create_connection(listener.getsockname())
            self.addCleanup(one.close)
            accepted, _ = listener.accept()
        other = Narrow(fileno=accepted.detach())
        self.addCleanup(other.close)
        other.setblocking(False)
        one.settimeout(5)
        return one, other

    def read(self) -> int:
        """Bytes that one more read brought."""
        before: int = self.near.bytes_in
        self.assertIsNone(self.near.doRead())
        after: int = self.near.bytes_in
        return after - before

    def arrives(self, expected: bytes) -> None:
        """See that so much comes out, and that it has been counted."""
        got = b""
        while len(got) < len(expected):
            if self.far in self.reactor.writers:
                self.assertIsNone(self.far.doWrite())
            got += self.sink.recv(len(expected) - len(got))
        self.assertEqual(got, expected)
        self.assertEqual((self.near.bytes_in, self.far.bytes_out), (len(expected), len(expected)))

    def test_a_full_read_is_followed_by_a_larger_one(self) -> None:
        """Behind a full read more is read at once, behind one that was not full no more than ever."""
        self.source.sendall(DATA[: READ_SIZE + BULK_SIZE + 100])
        self.assertEqual([self.read(), self.read(), self.read()], [READ_SIZE, BULK_SIZE, 100])
        self.source.sendall(DATA[READ_SIZE + BULK_SIZE + 100 :])
        self.assertEqual(self.read(), READ_SIZE)
        while self.near.bytes_in < len(DATA):
            self.read()
        self.arrives(DATA)

    def test_what_the_other_does_not_take_is_queued(self) -> None:
        """What was read and not taken stays as it was through later reads, which are no larger than ever."""
        self.source.sendall(DATA)
        self.read()
        self.way_out.room = 1000
        self.assertEqual(self.read(), BULK_SIZE)
        self.assertIn(self.far, self.reactor.writers)
        self.assertEqual([self.read(), self.read()], [READ_SIZE, READ_SIZE])
        self.way_out.room = None
        while self.near.bytes_in < len(DATA):
            self.read()
        self.arrives(DATA)

    def test_the_source_rests_at_once(self) -> None:
        """The very read of which more is left than the mark allows pauses the source; it goes on when all of
        that has left.
        """
        self.far.registerProducer(self.near, True)
        self.near.resumeProducing()
        self.source.sendall(DATA)
        self.read()
        self.assertIn(self.near, self.reactor.readers)
        self.way_out.room = 1000
        self.assertEqual(self.read(), BULK_SIZE)
        self.assertNotIn(self.near, self.reactor.readers)
        self.way_out.room = None
        self.arrives(DATA[: READ_SIZE + BULK_SIZE])
        self.assertIsNone(self.far.doWrite())
        self.assertIn(self.near, self.reactor.readers)

    def test_nothing_is_taken_for_a_moment(self) -> None:
        """A send that the kernel refuses for now loses nothing."""
        self.source.sendall(DATA)
        self.read()
        self.way_out.room = 0
        self.assertEqual(self.read(), BULK_SIZE)
        self.way_out.room = None
        while self.near.bytes_in < len(DATA):
            self.read()
        self.arrives(DATA)

    def test_the_end_of_a_pair_ends_larger_reads(self) -> None:
        """When the other one is gone, the protocol is given plain bytes of its own again."""
        self.source.sendall(DATA)
        self.read()
        self.far.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.read(), READ_SIZE)
        self.assertEqual(self.protocol.received, [DATA[READ_SIZE : 2 * READ_SIZE]])
        self.assertIs(type(self.protocol.received[0]), bytes)

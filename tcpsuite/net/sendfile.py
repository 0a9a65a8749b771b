"""Sends files from the page cache to a socket, without a copy through this process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from tcpsuite.net.pagecache import BLOCK, Ahead, read, shorter
from tcpsuite.net.sending import Stepwise
from tcpsuite.net.transport import counted

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from typing import Any

    from tcpsuite.net.pagecache import PageCache, Piece
    from tcpsuite.net.stream import Counting

STEP = 1024 * 1024
"""Bytes that one connection sends before the others have their turn: a quarter of a millisecond's work.
At a fourth of it Python takes a tenth of the processor, here a twentieth."""

SMALL = 64 * 1024
"""Bytes up to which an answer is better read and written: it leaves with what stands before it."""


def sends_files(transport: Any) -> bool:
    """Whether the kernel can send files to a transport by itself: to a stream socket of Twisted's own, with
    nothing between it and the peer that has to see the bytes.
    """
    return isinstance(transport, tcp.Connection) and not transport.TLS


@implementer(IPullProducer)
class FileSending(Stepwise[None]):
    """A producer of parts of files, and of what stands between them, for what :func:`sends_files`.

    Each step begins when all that was written before has left and the socket has room, and is bounded; the
    next one waits for the next such event, so that a fast client does not keep others waiting.  What is not
    in memory is fetched first.
    """

    def __init__(self, pieces: Iterable[Piece], cache: PageCache) -> None:
        super().__init__(self._run())
        self._pieces = pieces
        self._cache = cache
        self._counting: Counting | None
        self._registered = False

    def send_to(self, transport: Any) -> Deferred[None]:
        """Begin.

        :return: fires when the transport has been given everything and this is no longer its producer.  Fails
            with ``ProtocolError`` (``changed``) when a file ends before its part does, with ``OSError`` when
            it cannot be read, or with ``CancelledError`` when the connection is gone, as if by ``cancel``.
        """
        self._consumer, self._counting = transport, counted(transport)
        transport.registerProducer(self, False)
        self._registered = True
        self._step()
        return self._done

    def resumeProducing(self) -> None:
        """Everything that was written has left: the next step."""
        # A consumer asks once when it gets to know its producer, whatever is still to leave.
        if self._registered and self._waiting is None:
            self._step()

    def _did(self, outcome: None) -> None:
        self._consumer.startWriting()

    def _run(self) -> Generator[Deferred[None] | None, None, None]:
        """The steps; yields what the next one has to wait for, ``None`` for room."""
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield None
                self._consumer.write(piece)
                continue
            ahead, at = Ahead(piece, self._cache), piece.start
            while at < piece.stop:
                yield None
                found = ahead.look(at, min(STEP, piece.stop - at))
                if isinstance(found, Deferred):
                    yield found
                else:
                    at += self._send(piece.fd, at, found)

    def _send(self, fd: int, at: int, count: int) -> int:
        """Send up to so many bytes from there; says how many."""
        try:
            sent = os.sendfile(self._consumer.fileno(), fd, at, count)
        except BlockingIOError:
            return 0
        except OSError:
            # The file system cannot, the disk failed, or the connection is lost.  Reading tells the first two
            # apart, and the transport finds the third where it always does: when it sends.
            data = read(fd, at, min(BLOCK, count))
            self._consumer.write(data)
            return len(data)
        if not sent:
            raise shorter()
        if self._counting is not None:
            self._counting.bytes_out += sent
        return sent

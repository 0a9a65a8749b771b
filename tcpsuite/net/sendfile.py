"""Sends files from the page cache to a socket, without a copy through this process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from twisted.internet import tcp
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from tcpsuite.net.pagecache import BLOCK, Ahead, read, shorter
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
class FileSending:
    """A producer of parts of files, and of what stands between them, for what :func:`sends_files`.

    Each step begins when all that was written before has left and the socket has room, and is bounded; the
    next one waits for the next such event, so that a fast client does not keep others waiting.  What is not
    in memory is fetched first.
    """

    def __init__(self, pieces: Iterable[Piece], cache: PageCache) -> None:
        self._pieces = pieces
        self._cache = cache
        self._transport: Any
        self._counting: Counting | None
        self._steps = self._run()
        self._registered = False
        self._waiting: Deferred[None] | None = None
        self._done: Deferred[None] = Deferred(self._cancelled)

    def send_to(self, transport: Any) -> Deferred[None]:
        """Begin.

        :return: fires when the transport has been given everything and this is no longer its producer.  Fails
            with ``ProtocolError`` (``changed``) when a file ends before its part does, with ``OSError`` when
            it cannot be read, or with ``CancelledError`` when the connection is gone, as if by ``cancel``.
        """
        self._transport, self._counting = transport, counted(transport)
        transport.registerProducer(self, False)
        if not self._done.called:
            self._registered = True
            self._step()
        return self._done

    def resumeProducing(self) -> None:
        """Everything that was written has left: the next step."""
        # A consumer asks once when it gets to know its producer, whatever is still to leave.
        if self._registered and self._waiting is None and not self._done.called:
            self._step()

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._end()
        if not self._done.called:
            self._done.errback(CancelledError())

    def _step(self) -> None:
        try:
            waiting = next(self._steps, self._done)
        except Exception:
            self._finish(Failure())
            return
        if waiting is self._done:
            self._finish(None)
        elif waiting is None:
            self._transport.startWriting()
        else:
            self._waiting = waiting
            waiting.addBoth(self._waited)

    def _run(self) -> Generator[Deferred[None] | None, None, None]:
        """The steps; yields what the next one has to wait for, ``None`` for room."""
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield None
                self._transport.write(piece)
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
            sent = os.sendfile(self._transport.fileno(), fd, at, count)
        except BlockingIOError:
            return 0
        except OSError:
            # The file system cannot, the disk failed, or the connection is lost.  Reading tells the first two
            # apart, and the transport finds the third where it always does: when it sends.
            data = read(fd, at, min(BLOCK, count))
            self._transport.write(data)
            return len(data)
        if not sent:
            raise shorter()
        if self._counting is not None:
            self._counting.bytes_out += sent
        return sent

    def _waited(self, result: Failure | None) -> None:
        self._waiting = None
        if self._done.called:
            return
        if isinstance(result, Failure):
            self._finish(result)
        else:
            self._step()

    def _finish(self, result: Failure | None) -> None:
        self._end()
        self._transport.unregisterProducer()
        self._done.callback(result)

    def _cancelled(self, done: Deferred[None]) -> None:
        self._end()
        self._transport.unregisterProducer()
        done.errback(CancelledError())

    def _end(self) -> None:
        self._steps.close()
        if self._waiting is not None:
            self._waiting.cancel()

"""One HTTP request to the file service, and the connection that it came on."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from tcpsuite.core.connections import Reason
from tcpsuite.errors import ProtocolError
from tcpsuite.net.http import BoundedChannel
from tcpsuite.net.http_request import BoundedRequest
from tcpsuite.net.pagecache import blocks
from tcpsuite.net.sendfile import SMALL, FileSending, sends_files
from tcpsuite.net.sending import Sending
from tcpsuite.services.files.headers import status_of
from tcpsuite.services.files.incoming import Incoming
from tcpsuite.services.files.pages import error_page, phrase
from tcpsuite.services.files.root import refusal
from tcpsuite.services.logins import Logins

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from twisted.python.failure import Failure

    from tcpsuite.net.pagecache import PageCache, Piece
    from tcpsuite.services.files.share import Share


class FilesChannel(BoundedChannel):
    """One connection."""

    @cached_property
    def logins(self) -> Logins:
        """Who is logged in on it."""
        return Logins(self.site.share.limits)  # type: ignore[attr-defined]

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Gone, and nobody is logged in on it any more."""
        super().connectionLost(reason)
        self.logins.leave()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Take what ``producer`` has, when there is room."""
        super().registerProducer(producer, streaming)  # type: ignore[no-untyped-call]
        if self._waitingForTransport:
            # The transport has said so before this producer was there, and may not say it again.
            producer.pauseProducing()

    async def send_files(self, pieces: Iterable[Piece], cache: PageCache) -> None:
        """Have the kernel send ``pieces``, while this is not the transport's producer.

        When it fails there is nothing more to be done with the connection but to end it.
        """
        self.transport.unregisterProducer()
        await FileSending(pieces, cache).send_to(self.transport)
        self.transport.registerProducer(self, True)
        if self._waitingForTransport:
            # What was waited for has left meanwhile, and the transport has told the other producer.
            self.resumeProducing()


class FilesRequest(BoundedRequest):
    """One request; a ``PUT`` is taken over at its headers.

    :ivar incoming: the ``PUT`` that it is.
    """

    channel: FilesChannel
    incoming: Incoming | None = None

    @property
    def share(self) -> Share:
        """What is shared on its connection."""
        share: Share = self.channel.site.share  # type: ignore[attr-defined]
        return share

    def headers_received(self) -> None:
        """See whether a ``PUT`` may come."""
        if self.method == b"PUT":
            try:
                self.incoming = Incoming(self, self.share, self.channel.logins)
            except ProtocolError as error:
                status, more = status_of(error, self.share.rights)
                self.channel.refuse(status, str(error), more)
            else:
                self.max_body = self.share.rights.max_size

    def gotLength(self, length: int | None) -> None:
        """A body comes."""
        super().gotLength(length)
        if self.incoming is not None:
            self.incoming.begin()

    def handleContentChunk(self, data: bytes) -> None:
        """A part of the body."""
        if self.incoming is not None:
            self.incoming.feed(data)
        else:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The body is complete."""
        if self.incoming is not None:
            self.incoming.end()
        super().requestReceived(command, path, version)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:
        """The client is gone."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        if self.incoming is not None:
            self.incoming.cut()

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status and the headers."""
        self.setResponseCode(status, phrase(status).encode())
        self.responseHeaders.setRawHeaders("X-Content-Type-Options", ["nosniff"])
        for name, value in headers.items():
            self.responseHeaders.setRawHeaders(name, [value])
        self.write(b"")  # type: ignore[no-untyped-call]

    def end(self) -> None:
        """That was the whole answer."""
        self.finish()  # type: ignore[no-untyped-call]

    async def send(
        self, status: int, length: int, headers: Mapping[str, str], pieces: Iterable[Piece]
    ) -> None:
        """A whole answer, as fast as the client takes it; no body for a ``HEAD``.

        :param length: bytes of all the pieces.
        """
        self.begin(status, {"Content-Length": str(length), **headers})
        cache = self.share.cache
        if self.method == b"HEAD":
            pass
        elif length > SMALL and sends_files(self.channel.transport):
            await self.channel.send_files(pieces, cache)
        else:
            await Sending(blocks(pieces, cache), self.share.reactor).send_to(self.channel)
        self.end()

    def say(self, status: int, text: str, headers: Mapping[str, str]) -> None:
        """A whole answer: a small page."""
        page = error_page(status, text)
        kind = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(page))}
        self.begin(status, {**kind, **headers})
        self.write(page)  # type: ignore[no-untyped-call]
        self.end()

    def refuse(self, error: ProtocolError | OSError) -> None:
        """Say what is wrong, or end the connection: what was announced cannot be taken back otherwise."""
        if self.startedWriting:
            if self.channel.connection is not None:
                self.channel.connection.because(Reason.SERVICE_CLOSED, str(error))
            self.channel.transport.abortConnection()
            return
        refused = error if isinstance(error, ProtocolError) else refusal(error)
        status, more = status_of(refused, self.share.rights)
        for name, values in more.items():
            self.responseHeaders.setRawHeaders(name, values)
        self.say(status, str(refused), {})

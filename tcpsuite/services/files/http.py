"""Files over HTTP/1.1, for curl, wget and browsers, resume included."""

from __future__ import annotations

import secrets
from math import ceil
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web.http import datetimeToString
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from tcpsuite.core.conditions import Condition
from tcpsuite.core.paths import Path
from tcpsuite.core.ranges import Span, if_range_holds, parse_ranges
from tcpsuite.errors import ProtocolError
from tcpsuite.interfaces import IRefusing, IShrinkable
from tcpsuite.net.http_site import BoundedSite
from tcpsuite.net.pagecache import BLOCK
from tcpsuite.net.shield import finished, shield
from tcpsuite.services.files.headers import conditions_of, path_of
from tcpsuite.services.files.pages import content_type, listing_page
from tcpsuite.services.files.request import FilesChannel, FilesRequest
from tcpsuite.services.patience import IDLE_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from tcpsuite.interfaces import Verdict
    from tcpsuite.net.pagecache import Piece
    from tcpsuite.services.files.incoming import Incoming
    from tcpsuite.services.files.root import Opened
    from tcpsuite.services.files.share import Share

_LISTING = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-cache",
}


@implementer(IRefusing, IShrinkable)
class FilesSite(BoundedSite):
    """The file service over HTTP, on any endpoint.

    :param idle_timeout: seconds without a request that end a connection; 0 for any time.
    """

    protocol = FilesChannel

    def __init__(self, share: Share, idle_timeout: float = IDLE_TIMEOUT) -> None:
        super().__init__(
            FilesResource(share),
            reactor=share.reactor,
            request=FilesRequest,
            read_timeout=share.patience.read_timeout,
            idle_timeout=idle_timeout,
            deadlines=share.patience.deadlines,
        )
        self.share = share

    def __repr__(self) -> str:
        return f"<FilesSite {self.share.root!r} channels={len(self.channels)}>"

    def shrink(self) -> None:
        """Memory is short: forget digests."""
        self.share.sums.shrink()

    def last_words(self, verdict: Verdict) -> bytes:
        """What a client is told whom a limit refuses."""
        text = f"{verdict.reason}\n".encode()
        head = (
            "HTTP/1.1 503 Service Unavailable",
            f"Retry-After: {max(1, ceil(verdict.retry_after))}",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(text)}",
            "Connection: close",
        )
        return "".join(f"{line}\r\n" for line in (*head, "")).encode() + text

    def startFactory(self) -> None:
        """A port was opened."""
        super().startFactory()
        self.share.start()

    def stopFactory(self) -> None:
        """The last port was closed."""
        self.share.stop()
        super().stopFactory()


class FilesResource(Resource):
    """Everything beneath a root."""

    isLeaf = True
    log = Logger()

    def __init__(self, share: Share) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._share = share

    def render(self, request: FilesRequest) -> int:
        """Answer, in time."""
        left = request.notifyFinish()
        answering = Deferred.fromCoroutine(self._answer(request))
        left.addErrback(lambda _: answering.cancel())
        return NOT_DONE_YET

    async def _answer(self, request: FilesRequest) -> None:
        try:
            match request.method:
                case b"GET" | b"HEAD":
                    await self._get(request)
                case b"PUT" if request.incoming is not None:
                    await self._put(request, request.incoming)
                case _:
                    request.refuse(ProtocolError("method", "that cannot be done here"))
        except CancelledError:
            pass
        except (ProtocolError, OSError) as error:
            request.refuse(error)
        except Exception:
            self.log.failure("a request failed by our own fault")
            request.refuse(ProtocolError("internal", "the server failed; its log says why"))

    async def _get(self, request: FilesRequest) -> None:
        path = path_of(request.uri)
        with self._share.root.open(path) as opened:
            if not opened.directory:
                await self._get_file(request, path, opened)
            elif path.slash:
                await self._get_listing(request, path, opened)
            else:
                there = str(Path(path.names, slash=True))
                request.say(301, f"It is at {there}", {"Location": there})

    async def _get_listing(self, request: FilesRequest, path: Path, opened: Opened) -> None:
        if not self._share.listing:
            raise ProtocolError("forbidden", "directories are not listed here")
        page = await finished(self._share.in_thread(listing_page, path, opened.entries()))
        await request.send(200, len(page), _LISTING, _slices(page))

    async def _get_file(self, request: FilesRequest, path: Path, opened: Opened) -> None:
        """The file, the parts of it that were asked for, or that the client has it already."""
        current = opened.validators
        condition = conditions_of(request).judge(current, reading=True)
        if condition is Condition.FAILED:
            raise ProtocolError("precondition", "the file is not the one that was meant")
        etag, modified = current.etag or "", datetimeToString(opened.modified).decode()
        headers = {"ETag": etag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
        if condition is Condition.NOT_MODIFIED:
            request.begin(304, headers)
            request.end()
            return
        kind = content_type(path.names[-1])
        match self._spans(request, opened, etag, modified):
            case None:
                whole = Span(0, opened.size)
                pieces = [opened.extent(whole)]
                await request.send(200, whole.length, {"Content-Type": kind, **headers}, pieces)
            case ():
                place = {"Content-Range": f"bytes */{opened.size}"}
                request.say(416, f"The file has {opened.size} bytes.", {**headers, **place})
            case (span,):
                place = {"Content-Type": kind, "Content-Range": span.content_range(opened.size)}
                await request.send(206, span.length, {**place, **headers}, [opened.extent(span)])
            case spans:
                parts = _Parts(opened, spans, kind)
                await request.send(206, parts.length, {"Content-Type": parts.kind, **headers}, parts.pieces)

    def _spans(
        self, request: FilesRequest, opened: Opened, etag: str, modified: str
    ) -> tuple[Span, ...] | None:
        """What a ``Range`` asks for; ``None`` for the whole file."""
        header, condition = request.header("Range"), request.header("If-Range")
        if header is None or request.method != b"GET":
            return None
        settled = self._share.now() >= opened.modified + 1
        if condition is not None and not if_range_holds(condition, etag, modified, settled):
            return None
        return parse_ranges(header, opened.size)

    async def _put(self, request: FilesRequest, incoming: Incoming) -> None:
        assert incoming.stored is not None
        if await shield(incoming.stored):
            request.begin(201, {"Location": str(incoming.path), "Content-Length": "0"})
        else:
            request.begin(204, {})
        request.end()


class _Parts:
    """Several spans of a file in one body, ``multipart/byteranges``.  RFC 9110, section 14.6."""

    def __init__(self, opened: Opened, spans: Sequence[Span], kind: str) -> None:
        boundary = secrets.token_hex(16)
        self.kind = f"multipart/byteranges; boundary={boundary}"
        self.pieces: list[Piece] = []
        self.length = 0
        for span in spans:
            place = span.content_range(opened.size)
            self._add(f"\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {place}\r\n\r\n")
            self.pieces.append(opened.extent(span))
            self.length += span.length
        self._add(f"\r\n--{boundary}--\r\n")

    def _add(self, text: str) -> None:
        self.pieces.append(data := text.encode())
        self.length += len(data)


def _slices(data: bytes) -> Generator[bytes, None, None]:
    for start in range(0, len(data), BLOCK):
        yield data[start : start + BLOCK]

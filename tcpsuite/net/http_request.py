"""One request of HTTP whose body is bounded."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from twisted.web.server import Request

if TYPE_CHECKING:
    from tcpsuite.net.http import BoundedChannel


class BoundedRequest(Request):
    """A request whose body is kept in memory, up to ``max_body`` bytes.

    To take a body over, set ``max_body`` in :meth:`headers_received` and override ``gotLength`` (called next)
    and ``handleContentChunk``.

    :ivar max_body: the largest body that is taken; the site's, unless changed for this request.
    """

    channel: BoundedChannel
    content: Any

    def __init__(self, channel: BoundedChannel, *args: Any, **kwargs: Any) -> None:
        super().__init__(channel, *args, **kwargs)  # type: ignore[no-untyped-call]
        self.max_body = channel.site.max_body

    def header(self, name: str) -> str | None:
        """The value of a header, decoded as Latin-1, because peers may send any bytes; that of several lines
        is the list that they are.  RFC 9110, section 5.2.
        """
        lines = self.requestHeaders.getRawHeaders(name.encode())
        return None if lines is None else b", ".join(lines).decode("latin-1")

    def headers_received(self) -> None:
        """The headers are complete, and nothing of the body was read: ``method``, ``uri``, ``clientproto``
        and ``requestHeaders`` are there.  May ``self.channel.refuse(…)``; then nothing more is called.
        """

    def gotLength(self, length: int | None) -> None:
        """A body of so many bytes comes, or of a number that only its end will tell."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """A part of the body."""
        if self.content.tell() + len(data) > self.max_body:
            self.channel.refuse(413, f"a body has at most {self.max_body} bytes here")
        else:
            self.content.write(data)

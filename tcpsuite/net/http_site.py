"""The factory of HTTP servers whose connections :mod:`tcpsuite.net.http` bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.web.server import Site

from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.http import LINGER, BoundedChannel, Phase
from tcpsuite.net.http_request import BoundedRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.interfaces import IReactorTime
    from twisted.web.resource import IResource

    _Headers = Mapping[bytes, list[bytes]]

MAX_BODY = 64 * 1024
"""Bytes of a request's body, unless a site says otherwise: they are kept in memory."""
READ_TIMEOUT = 30.0
"""Seconds for the headers of a request, and for what its body does not earn by coming."""
IDLE_TIMEOUT = 60.0
"""Seconds between two requests."""


class BoundedSite(Site):
    """The factory for an HTTP service on any endpoint.

    When its last port closes it drains: connections without a request are closed, the others behind their
    answer.

    :param resource: the root resource.
    :param reactor: an ``IReactorTime``.
    :param max_body: the largest body, in bytes, that a request may have.
    :param request: the class of the requests.
    :param read_timeout: seconds from the first byte of a request to the end of its headers, and from there to
        the end of its body, which has one more for each KiB; 0 for any time.
    :param idle_timeout: seconds without a request; 0 for any time.
    :param deadlines: keeps the time-outs; ``None`` for some of its own.
    :ivar channels: the open connections.
    :ivar seconds: what each phase may take, by its number; 0 for any time.
    """

    protocol = BoundedChannel  # type: ignore[assignment]
    noisy = False

    def __init__(
        self,
        resource: IResource,
        *,
        reactor: IReactorTime,
        max_body: int = MAX_BODY,
        request: type[BoundedRequest] = BoundedRequest,
        read_timeout: float = READ_TIMEOUT,
        idle_timeout: float = IDLE_TIMEOUT,
        deadlines: Deadlines | None = None,
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            resource, request, timeout=None, reactor=reactor, parsePOSTFormSubmission=False
        )
        self.max_body = max_body
        self.deadlines = deadlines or Deadlines(reactor)
        seconds = {
            Phase.IDLE: idle_timeout,
            Phase.HEADERS: read_timeout,
            Phase.BODY: read_timeout,
            Phase.CLOSING: LINGER,
        }
        self.seconds = tuple(seconds.get(phase, 0.0) for phase in Phase)
        self.channels: set[BoundedChannel] = set()
        self.draining = False

    def __repr__(self) -> str:
        return f"<BoundedSite {self.resource!r} channels={len(self.channels)}>"

    def acceptableProtocols(self) -> list[bytes]:
        """For TLS: HTTP/1.1 alone, the only one whose connections are bounded here."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """A port was opened.  The connection's record is the log: there is none of requests."""
        self.draining = False

    def stopFactory(self) -> None:
        """The last port was closed."""
        self.draining = True
        for channel in tuple(self.channels):
            channel.drain()

    def log(self, request: Any) -> None:
        """A request was answered."""

    def refusal(self, channel: BoundedChannel, code: int, text: str) -> tuple[_Headers, bytes]:
        """The headers and the body that refuse a request; called once for each that is."""
        return {b"Content-Type": [b"text/plain; charset=utf-8"]}, text.encode() + b"\n"

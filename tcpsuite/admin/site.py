"""HTTP for the admin listener: who may not ask is told so before a byte of a body is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcpsuite.admin.guard import Refusal
from tcpsuite.admin.pages import headers_of
from tcpsuite.net.http import Phase
from tcpsuite.net.http_request import BoundedRequest
from tcpsuite.net.http_site import BoundedSite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.interfaces import IReactorTime

    from tcpsuite.admin.pages import Admitted, Pages
    from tcpsuite.net.http import BoundedChannel

MAX_BODY = 4096
"""Bytes of a request's body: a change is a few words."""


class AdminRequest(BoundedRequest):
    """A request that is judged by its headers.

    :ivar judged: what came of it.
    """

    judged: Admitted | Refusal

    def headers_received(self) -> None:
        """Refuse what is no question for a page, and what has a body that nobody would look at."""
        site = self.channel.site
        assert isinstance(site, AdminSite)
        if not self.uri.startswith(b"/"):
            self.channel.refuse(400, "what is asked for here is a path")
            return
        self.judged = site.pages.judge(self)
        if isinstance(self.judged, Refusal) and self.channel.length != 0:
            self.channel.refuse(self.judged.code, self.judged.text, _encoded(self.judged.headers))


class AdminSite(BoundedSite):
    """The factory of the admin listener's connections.

    :param pages: what is served.
    :param reactor: an ``IReactorTime``.
    """

    def __init__(self, pages: Pages, reactor: IReactorTime) -> None:
        super().__init__(pages, reactor=reactor, max_body=MAX_BODY, request=AdminRequest)
        self.pages = pages

    def make_room(self) -> None:
        """End the oldest connection that is not owed an answer, if there is one: neither silence, nor a
        request that never ends, shuts others out.
        """
        waiting = [each for each in self.channels if each.phase is not Phase.ANSWER]
        if waiting:
            oldest = min(waiting, key=lambda each: each.connection.started if each.connection else 0.0)
            oldest.transport.abortConnection()

    def refusal(
        self, channel: BoundedChannel, code: int, text: str
    ) -> tuple[Mapping[bytes, list[bytes]], bytes]:
        """JSON, as all that is answered here."""
        answer = self.pages.refuse(channel, code, text)
        return _encoded(headers_of(answer)), answer.body


def _encoded(headers: Mapping[str, str]) -> dict[bytes, list[bytes]]:
    return {name.encode(): [value.encode()] for name, value in headers.items()}

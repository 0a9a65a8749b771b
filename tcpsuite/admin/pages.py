"""The admin listener's resource: who may ask, which page is meant, and how its answer leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tcpsuite.admin.answers import Answer, Question, RefusedError
from tcpsuite.admin.changes import MisreadError
from tcpsuite.admin.guard import Refusal
from tcpsuite.admin.manhole import peer_of
from tcpsuite.errors import ChangeRefused
from tcpsuite.net.endpoints import address_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.python.failure import Failure
    from twisted.web.server import Request

    from tcpsuite.admin.answers import Ask, Page
    from tcpsuite.admin.guard import Guard
    from tcpsuite.admin.refusals import Refusals
    from tcpsuite.admin.site import AdminRequest
    from tcpsuite.net.http import BoundedChannel

OPEN = frozenset({"/healthz", "/readyz"})
"""Pages that want no token: probes have none.  To who does not show it they tell nothing but yes or no."""

_SAFE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Server": "tcpsuite",
    "X-Content-Type-Options": "nosniff",
}


@frozen
class Admitted:
    """A request whose headers are in order.

    :ivar ask: answers it.
    :ivar names: the parts of its path that stand where the page's path has capitals.
    :ivar trusted: whether it showed the token, or none is wanted.
    """

    ask: Ask
    names: tuple[str, ...]
    trusted: bool


class Pages(Resource):
    """All of them; a leaf, for there are few.

    :param pages: by path; a part in capitals stands for any.
    :param guard: checks every request.
    :param refusals: told of each that is refused.
    """

    isLeaf = True
    log = Logger()

    def __init__(self, pages: Mapping[str, Page], guard: Guard, refusals: Refusals) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._pages = pages
        self._guard = guard
        self._refusals = refusals

    def judge(self, request: AdminRequest) -> Admitted | Refusal:
        """Whether a request may be answered, of which only the headers are there."""
        path, method = _path(request), request.method.decode("latin-1")
        transport = request.channel.transport
        reached, peer = _host(transport.getHost()), _host(transport.getPeer())
        untrusted = self._guard.check_token(_headers(request, b"Authorization"))
        refusal = self._guard.check(_headers(request, b"Host"), _headers(request, b"Origin"), reached)
        if refusal := refusal or (None if path in OPEN else untrusted):
            return refusal
        page, names = self._find(path)
        if page is None:
            return Refusal(404, "there is no such page", more={"pages": list(self._pages)})
        if method not in page.methods:
            allowed = ", ".join(page.methods)
            return Refusal(405, f"this page knows {allowed}", {"Allow": allowed})
        ask = page.get
        if method == "POST" and page.post is not None:
            if refusal := self._guard.check_change(_headers(request, b"Content-Type"), reached, peer):
                return refusal
            ask = page.post
        return Admitted(ask, names, untrusted is None)

    def refuse(self, channel: BoundedChannel, code: int, text: str) -> Answer:
        """The answer to a request that was refused before it was complete."""
        asked = channel.requests[-1] if channel.requests else None
        return self._refused(Refusal(code, text), channel, asked)

    def render(self, request: AdminRequest) -> int:
        """Answer one request."""
        answering = Deferred.fromCoroutine(self._answer(request))
        request.notifyFinish().addErrback(lambda _: answering.cancel())
        answering.addCallback(_send, request)
        answering.addErrback(self._failed, request)
        return NOT_DONE_YET

    async def _answer(self, request: AdminRequest) -> Answer:
        judged = request.judged
        if isinstance(judged, Admitted):
            who = _who(request.channel)
            question = Question(
                judged.names, _query(request), request.content.read(), who, trusted=judged.trusted
            )
            try:
                return await judged.ask(question)
            except RefusedError as error:
                judged = Refusal(error.code, str(error), more=error.more)
            except MisreadError as error:
                judged = Refusal(400, str(error), more={"where": error.where, "expected": error.expected})
            except ChangeRefused as error:
                judged = Refusal(409, str(error))
        return self._refused(judged, request.channel, request)

    def _refused(self, refusal: Refusal, channel: BoundedChannel, request: Request | None) -> Answer:
        asked = "" if request is None else f"{request.method.decode('latin-1')} {_path(request)}"
        self._refusals.note(refusal, asked, _who(channel))
        return Answer.json({"error": refusal.text, **refusal.more}, refusal.code, **refusal.headers)

    def _find(self, path: str) -> tuple[Page | None, tuple[str, ...]]:
        """The page of that path, and what stands in it where the page's has capitals."""
        parts = path.split("/")
        for known, page in self._pages.items():
            pairs = list(zip(known.split("/"), parts, strict=False))
            if known.count("/") == len(parts) - 1 and all(
                name == part or (name.isupper() and part) for name, part in pairs
            ):
                return page, tuple(unquote(part) for name, part in pairs if name.isupper())
        return None, ()

    def _failed(self, failure: Failure, request: Request) -> None:
        if failure.check(CancelledError) is None:
            self.log.failure("an admin page failed", failure)
            _send(Answer.json({"error": "the page failed; the log says why"}, 500), request)


def headers_of(answer: Answer) -> dict[str, str]:
    """All that stands before the body of an answer."""
    return {
        **_SAFE,
        **answer.headers,
        "Content-Type": answer.content_type,
        "Content-Length": str(len(answer.body)),
    }


def _headers(request: Request, name: bytes) -> list[str]:
    # Asked for by text they would be read as UTF-8, and a peer may send any bytes.
    return [value.decode("latin-1") for value in request.requestHeaders.getRawHeaders(name, [])]


def _host(address: Any) -> str:
    """The host of one end of a connection; empty for a UNIX socket."""
    return str(getattr(address, "host", ""))


def _query(request: Request) -> dict[str, str]:
    """What stands behind the question mark; of a name that comes twice the last."""
    args: Mapping[bytes, list[bytes]] = request.args or {}
    return {
        name.decode(errors="replace"): values[-1].decode(errors="replace") for name, values in args.items()
    }


def _path(request: Request) -> str:
    # Twisted's own is there only when the body is.
    return request.uri.partition(b"?")[0].decode("latin-1")


def _who(channel: BoundedChannel) -> str:
    """The peer; of a UNIX socket the process and its user, as the kernel knows them."""
    address: Any = channel.transport.getPeer()
    socket = getattr(channel.transport, "socket", None)
    if hasattr(address, "host") or socket is None:
        return address_text(address)
    process, user = peer_of(socket)
    return f"process {process} of user {user}"


def _send(answer: Answer, request: Request) -> None:
    request.setResponseCode(answer.code)
    for name, value in headers_of(answer).items():
        request.setHeader(name, value)
    request.write(answer.body)
    request.finish()

"""The admin listener's resource: who may ask, which page is meant, and how its answer leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tcpsuite.admin.answers import Answer, Question, RefusedError
from tcpsuite.admin.changes import MisreadError
from tcpsuite.admin.manhole import peer_of
from tcpsuite.errors import ChangeRefused
from tcpsuite.net.endpoints import address_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.python.failure import Failure
    from twisted.web.server import Request

    from tcpsuite.admin.answers import Page
    from tcpsuite.admin.guard import Guard, Refusal

OPEN = frozenset({"/healthz", "/readyz"})
"""Pages that want no token: probes have none.  To who does not show it they tell nothing but yes or no."""

_SAFE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Server": "tcpsuite",
    "X-Content-Type-Options": "nosniff",
}


class Pages(Resource):
    """All of them; a leaf, for there are few.

    :param pages: by path; a part in capitals stands for any.
    :param guard: checks every request.
    """

    isLeaf = True
    log = Logger()

    def __init__(self, pages: Mapping[str, Page], guard: Guard) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._pages = pages
        self._guard = guard

    def render(self, request: Request) -> int:
        """Answer one request."""
        answering = Deferred.fromCoroutine(self._answer(request))
        request.notifyFinish().addErrback(lambda _: answering.cancel())
        answering.addCallback(_send, request)
        answering.addErrback(self._failed, request)
        return NOT_DONE_YET

    async def _answer(self, request: Request) -> Answer:
        path, method = request.path.decode("latin-1"), request.method.decode("latin-1")
        untrusted = self._guard.check_token(_headers(request, b"Authorization"))
        if refusal := self._refusal(request) or (None if path in OPEN else untrusted):
            return _refused(refusal)
        page, names = self._find(path)
        if page is None:
            return Answer.json({"error": "there is no such page", "pages": list(self._pages)}, 404)
        if method not in page.methods:
            allowed = ", ".join(page.methods)
            return Answer.json({"error": f"this page knows {allowed}"}, 405, Allow=allowed)
        ask, body = page.get, b""
        if method == "POST" and page.post is not None:
            kinds, peer = _headers(request, b"Content-Type"), _host(request.getClientAddress())
            if refusal := self._guard.check_change(kinds, _host(request.getHost()), peer):
                return _refused(refusal)
            content: Any = request.content
            ask, body = page.post, content.read()
        question = Question(names, _query(request), body, _who(request), trusted=untrusted is None)
        try:
            return await ask(question)
        except RefusedError as error:
            return Answer.json({"error": str(error), **error.more}, error.code)
        except MisreadError as error:
            more = {"where": error.where, "expected": error.expected}
            return Answer.json({"error": str(error), **more}, 400)
        except ChangeRefused as error:
            return Answer.json({"error": str(error)}, 409)

    def _refusal(self, request: Request) -> Refusal | None:
        hosts, origins = _headers(request, b"Host"), _headers(request, b"Origin")
        return self._guard.check(hosts, origins, _host(request.getHost()))

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


def _who(request: Request) -> str:
    """The peer; of a UNIX socket the process and its user, as the kernel knows them."""
    address: Any = request.getClientAddress()
    socket = getattr(getattr(request.channel, "transport", None), "socket", None)
    if hasattr(address, "host") or socket is None:
        return address_text(address)
    process, user = peer_of(socket)
    return f"process {process} of user {user}"


def _refused(refusal: Refusal) -> Answer:
    headers = {"WWW-Authenticate": 'Bearer realm="tcpsuite"'} if refusal.code == 401 else {}
    return Answer.json({"error": refusal.text}, refusal.code, **headers)


def _send(answer: Answer, request: Request) -> None:
    request.setResponseCode(answer.code)
    headers = {
        **_SAFE,
        **answer.headers,
        "Content-Type": answer.content_type,
        "Content-Length": str(len(answer.body)),
    }
    for name, value in headers.items():
        request.setHeader(name, value)
    request.write(answer.body)
    request.finish()

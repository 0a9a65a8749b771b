"""The pages of the admin listener."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from attrs import Factory, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tcpsuite import __version__
from tcpsuite.admin.metrics import families
from tcpsuite.admin.process import ProcessFigures
from tcpsuite.admin.status import faults, gather
from tcpsuite.core.metrics import CONTENT_TYPE, render

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure
    from twisted.web.server import Request

    from tcpsuite.admin.guard import Guard, Refusal
    from tcpsuite.admin.process import LagWatch
    from tcpsuite.admin.status import SuiteView

METHODS = ("GET", "HEAD")
OPEN = frozenset({"/healthz", "/readyz"})
"""Pages that want no token: probes have none.  To who does not show it they tell nothing but yes or no."""

_SAFE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Server": "tcpsuite",
    "X-Content-Type-Options": "nosniff",
}
_TEXT = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"


@frozen
class Answer:
    """What a page gives."""

    body: bytes
    content_type: str
    code: int = 200
    headers: Mapping[str, str] = Factory(dict)

    @classmethod
    def json(cls, value: Any, code: int = 200, **headers: str) -> Answer:
        """``value`` as JSON that people can read."""
        return cls(json.dumps(value, indent=2).encode() + b"\n", "application/json", code, headers)


class Pages(Resource):
    """All of them; a leaf, for there are few and their paths are fixed.

    :param suite: what is looked at.
    :param guard: checks every request.
    :param lag: tells how late the reactor is.
    :param clock: an ``IReactorTime``.
    """

    isLeaf = True
    log = Logger()

    def __init__(self, suite: SuiteView, guard: Guard, lag: LagWatch, clock: IReactorTime) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._suite = suite
        self._guard = guard
        self._lag = lag
        self._clock = clock
        self._pages: dict[str, tuple[str, Callable[[], Awaitable[Answer]]]] = {
            "/": ("This page.", self.index),
            "/healthz": ("Whether the process runs.", self.healthz),
            "/readyz": ("Whether it should be sent new connections, and why not.", self.readyz),
            "/metrics": ("Numbers for Prometheus.", self.metrics),
            "/api/v1/status": ("Listeners, connections, upstreams, sessions: all as JSON.", self.status),
        }

    def render(self, request: Request) -> int:
        """Answer one request."""
        answering = Deferred.fromCoroutine(self._answer(request))
        request.notifyFinish().addErrback(lambda _: answering.cancel())
        answering.addCallback(_send, request)
        answering.addErrback(self._failed, request)
        return NOT_DONE_YET

    async def index(self) -> Answer:
        """What there is, for people."""
        rows = "".join(
            f'<li><a href="{path}">{path}</a> {escape(text)}</li>' for path, (text, _) in self._pages.items()
        )
        title = f"tcpsuite {escape(__version__)}"
        page = f"<!doctype html><title>{title}</title><h1>{title}</h1><ul>{rows}</ul>\n"
        return Answer(page.encode(), _HTML)

    async def healthz(self) -> Answer:
        """The process runs: it answers."""
        return Answer(b"ok\n", _TEXT)

    async def readyz(self, *, why: bool = True) -> Answer:
        """Whether new connections should come, and ``why`` not."""
        reasons = faults(self._suite)
        told = {"reasons": reasons} if why else {}
        return Answer.json({"ready": not reasons, **told}, 503 if reasons else 200)

    async def metrics(self) -> Answer:
        """Numbers for Prometheus."""
        status = await gather(self._suite, self._clock)
        page = render(families(status, ProcessFigures.read(), self._lag.worst))
        return Answer(page, CONTENT_TYPE.decode())

    async def status(self) -> Answer:
        """All there is to see."""
        status = await gather(self._suite, self._clock)
        return Answer.json(status.as_json(self._clock.seconds()))

    async def _answer(self, request: Request) -> Answer:
        path = request.path.decode("latin-1")
        if refusal := self._refusal(request, path):
            return _refused(refusal)
        if path not in self._pages:
            return Answer.json({"error": "there is no such page", "pages": list(self._pages)}, 404)
        if request.method.decode("latin-1") not in METHODS:
            allowed = ", ".join(METHODS)
            return Answer.json({"error": f"this page knows {allowed}"}, 405, Allow=allowed)
        if path == "/readyz" and self._token_refusal(request):
            return await self.readyz(why=False)
        return await self._pages[path][1]()

    def _refusal(self, request: Request, path: str) -> Refusal | None:
        reached = getattr(request.getHost(), "host", "")
        refusal = self._guard.check(_headers(request, b"Host"), _headers(request, b"Origin"), reached)
        if refusal is None and path not in OPEN:
            refusal = self._token_refusal(request)
        return refusal

    def _token_refusal(self, request: Request) -> Refusal | None:
        return self._guard.check_token(_headers(request, b"Authorization"))

    def _failed(self, failure: Failure, request: Request) -> None:
        if failure.check(CancelledError) is None:
            self.log.failure("an admin page failed", failure)
            _send(Answer.json({"error": "the page failed; the log says why"}, 500), request)


def _headers(request: Request, name: bytes) -> list[str]:
    # Asked for by text they would be read as UTF-8, and a peer may send any bytes.
    return [value.decode("latin-1") for value in request.requestHeaders.getRawHeaders(name, [])]


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

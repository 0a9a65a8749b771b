"""What the pages of the admin listener show, and what they change."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from attrs import NOTHING

from tcpsuite import __version__
from tcpsuite.admin.answers import HTML, TEXT, Answer, Page, RefusedError
from tcpsuite.admin.changes import MisreadError, as_seen, parse, server_change, upstream_change
from tcpsuite.admin.explain import explanation, whatif_data
from tcpsuite.admin.limits import MOST, NUMBER, limits_data
from tcpsuite.admin.metrics import families
from tcpsuite.admin.process import ProcessFigures
from tcpsuite.admin.sessions import sessions_data
from tcpsuite.admin.status import faults, gather, upstream_data
from tcpsuite.core.metrics import CONTENT_TYPE, render

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from tcpsuite.admin.answers import Question
    from tcpsuite.admin.control import Control
    from tcpsuite.admin.refusals import Refusals
    from tcpsuite.admin.status import SuiteView, UpstreamView


class Views:
    """Answers questions about one process.

    :param suite: what is looked at.
    :param control: changes it.
    :param refusals: what was refused.
    :param clock: an ``IReactorTime``.
    :ivar pages: by path; a part in capitals stands for any.
    """

    def __init__(self, suite: SuiteView, control: Control, refusals: Refusals, clock: IReactorTime) -> None:
        self._suite = suite
        self._control = control
        self._refusals = refusals
        self._clock = clock
        self.pages = {
            "/": Page("This page.", self.index),
            "/healthz": Page("Whether the process runs.", self.healthz),
            "/readyz": Page("Whether it should be sent new connections, and why not.", self.readyz),
            "/metrics": Page("Numbers for Prometheus.", self.metrics),
            "/api/v1/status": Page("Listeners, connections, upstreams, sessions: all as JSON.", self.status),
            "/api/v1/explain/ID": Page("Why a connection went where it went.", self.explain),
            "/api/v1/whatif": Page("Where a client would go: ?upstream=NAME&client=ADDRESS.", self.whatif),
            "/api/v1/limits": Page(
                "What limits refused, and who uses most of them: ?number=10.", self.limits
            ),
            "/api/v1/sessions": Page(
                "How sessions are used, and the users who have most of them: ?number=10.", self.sessions
            ),
            "/api/v1/upstream/NAME": Page(
                "An upstream; POST pauses or resumes it, adds or removes a server, clears its affinity.",
                self.upstream,
                self.change_upstream,
            ),
            "/api/v1/health/NAME": Page(
                "How the servers of an upstream were of late: what checks and connections came to.",
                self.health,
            ),
            "/api/v1/server/UPSTREAM/NAME": Page(
                "A server of an upstream; POST drains or weighs it, or cuts its connections.",
                self.server,
                self.change_server,
            ),
        }

    async def index(self, question: Question) -> Answer:
        """What there is, for people."""
        rows = "".join(f"<li>{_link(path)} {escape(page.text)}</li>" for path, page in self.pages.items())
        title = f"tcpsuite {escape(__version__)}"
        page = f"<!doctype html><title>{title}</title><h1>{title}</h1><ul>{rows}</ul>\n"
        return Answer(page.encode(), HTML)

    async def healthz(self, question: Question) -> Answer:
        """The process runs: it answers."""
        return Answer(b"ok\n", TEXT)

    async def readyz(self, question: Question) -> Answer:
        """Whether new connections should come; and why not, for who may know."""
        sessions = self._suite.sessions
        if sessions is not None and sessions.fault:
            # Ask the store again: where nobody is sent, perhaps nobody else does.
            await sessions_data(sessions, self._clock)
        reasons = faults(self._suite)
        told = {"reasons": reasons} if question.trusted else {}
        return Answer.json({"ready": not reasons, **told}, 503 if reasons else 200)

    async def metrics(self, question: Question) -> Answer:
        """Numbers for Prometheus."""
        status = await gather(self._suite, self._clock)
        page = render(
            families(
                status,
                ProcessFigures.read(),
                changes=self._control.made,
                refusals=self._refusals.made,
            )
        )
        return Answer(page, CONTENT_TYPE.decode())

    async def status(self, question: Question) -> Answer:
        """All there is to see."""
        status = await gather(self._suite, self._clock)
        return Answer.json(status.as_json(self._clock.seconds()))

    async def explain(self, question: Question) -> Answer:
        """Why a connection went where it went."""
        (connection_id,) = question.names
        found = self._suite.ledger.find(connection_id)
        if found is None:
            raise RefusedError(404, f"no connection {connection_id!r} is open, or has ended of late")
        return Answer.json(explanation(found, self._clock.seconds()))

    async def whatif(self, question: Question) -> Answer:
        """Where a client would go now."""
        for name in ("upstream", "client"):
            if name not in question.query:
                raise MisreadError(name, "?upstream=NAME&client=ADDRESS", NOTHING)
        name, client = question.query["upstream"], question.query["client"]
        try:
            client = as_seen(client) if client else ""
        except ValueError:
            raise MisreadError("client", "an IP address, or nothing for a UNIX socket", client) from None
        found = self._upstream(name).whatif(client)
        return Answer.json({"upstream": name, "client": client, **whatif_data(found)})

    async def limits(self, question: Question) -> Answer:
        """What limits refused, and who uses most of them."""
        return Answer.json(limits_data(self._suite, _number(question), self._clock.seconds()))

    async def sessions(self, question: Question) -> Answer:
        """How sessions are used, and the users who have most of them."""
        told = await sessions_data(self._suite.sessions, self._clock, _number(question))
        if not told:
            raise RefusedError(404, "no listener serves sessions")
        return Answer.json(told, 200 if "count" in told else 503)

    async def upstream(self, question: Question) -> Answer:
        """An upstream, and what of it is not as configured."""
        (name,) = question.names
        return Answer.json(upstream_data(self._upstream(name)))

    async def health(self, question: Question) -> Answer:
        """How the servers of an upstream were of late."""
        (name,) = question.names
        return Answer.json({"upstream": name, "servers": self._upstream(name).health()})

    async def server(self, question: Question) -> Answer:
        """The same of one server."""
        return Answer.json(self._server_data(*question.names))

    async def change_upstream(self, question: Question) -> Answer:
        """Pause or resume it, add or remove a server, forget where clients were."""
        (name,) = question.names
        upstream = self._upstream(name)
        change = upstream_change(parse(question.body))
        done = self._control.change_upstream(name, change, question.who)
        return Answer.json({"done": done, **upstream_data(upstream)})

    async def change_server(self, question: Question) -> Answer:
        """Drain it, give it another weight, cut its connections."""
        upstream, server = question.names
        self._server_data(upstream, server)
        change = server_change(parse(question.body))
        done = self._control.change_server(upstream, server, change, question.who)
        return Answer.json({"done": done, **self._server_data(upstream, server)})

    def _upstream(self, name: str) -> UpstreamView:
        known = self._suite.upstreams
        if name not in known:
            raise RefusedError(404, f"there is no upstream {name!r}", upstreams=list(known))
        return known[name]

    def _server_data(self, upstream: str, server: str) -> dict[str, Any]:
        data = upstream_data(self._upstream(upstream))
        servers = {each["name"]: each for each in data["servers"]}
        if server not in servers:
            raise RefusedError(404, f"upstream {upstream!r} has no server {server!r}", servers=list(servers))
        changes = [each for each in data["changes"] if each["server"] == server]
        return {"upstream": upstream, **servers[server], "changes": changes}


def _number(question: Question) -> int:
    """How many of something are asked for."""
    number = question.query.get("number", str(NUMBER))
    if not (number.isascii() and number.isdigit() and len(number) < 5 and 1 <= int(number) <= MOST):
        raise MisreadError("number", f"a number from 1 to {MOST}", number)
    return int(number)


def _link(path: str) -> str:
    """The path, to be followed where it needs no name to be filled in."""
    return path if any(part.isupper() for part in path.split("/")) else f'<a href="{path}">{path}</a>'

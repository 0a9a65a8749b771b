"""What sessions are attached to: for each a connection to a server, which outlasts those of its client."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.logger import Logger

from tcpsuite.core.attaching.asking import MARK_BYTES, NEW, Granted
from tcpsuite.core.attaching.ways import BOUND
from tcpsuite.core.connections import Reason
from tcpsuite.errors import Closed, OutOfResources, ProtocolError, RemoteError
from tcpsuite.net.attaching.server_end import STATES, TAKEN_OVER, Carriage, ServerEnd
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.session_data import no_session
from tcpsuite.net.session_options import ATTACH_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tcpsuite.core.attaching.asking import Wanted
    from tcpsuite.core.connections import Connection
    from tcpsuite.net.deadlines import Deadline
    from tcpsuite.net.session_options import SessionRules
    from tcpsuite.net.upstream import Upstream

EVENTS = ("made", "failed", "resumed", "taken_over", "lost", "left", "given_up")
"""What is counted since the start."""
THE_END = "the process ends"
LAST_WORDS = 1.0
"""Seconds, or a tenth of a drain if that is less: so long before its end who is attached is told."""


class Client(Protocol):
    """A client's connection, before it is attached."""

    connection: Connection

    def answer(self, text: str) -> None:
        """Send a line."""

    def hand_over(self, heir: Any) -> None:
        """Give the connection away."""


def build_attachments(
    options: SessionRules, upstreams: Mapping[str, Upstream], clock: Any
) -> Attachments | None:
    """What sessions can be attached to, if the options say it."""
    if not options.upstream:
        return None
    return Attachments(
        upstreams[options.upstream], clock, timeout=options.attach_timeout, buffer=options.attach_buffer
    )


class Attachments:
    """Gives sessions what they are attached to.

    :param upstream: leads to the servers.
    :param clock: an ``IReactorTime``.
    :param timeout: seconds for which a connection waits for a client.
    :param buffer: bytes of either way of it that are kept.
    :param random_bytes: gives so many bytes.
    """

    log = Logger()

    def __init__(
        self,
        upstream: Upstream,
        clock: Any,
        *,
        timeout: float = ATTACH_TIMEOUT,
        buffer: int = BOUND,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.upstream = upstream
        self.clock = clock
        self.counts: Counter[str] = Counter()
        self._timeout = timeout
        self._buffer = buffer
        self._random_bytes = random_bytes
        self._deadlines = Deadlines(clock)
        self._ends: set[ServerEnd] = set()
        self._draining = False
        self._last_words: Deadline | None = None

    def __repr__(self) -> str:
        now = Counter(end.state for end in self._ends)
        told = " ".join(f"{state}={now[state]}" for state in STATES)
        return f"<Attachments to {self.upstream.name} {told}>"

    def new(self, user: str) -> Attachment:
        """What a session of ``user`` may be attached to; nothing is connected yet."""
        return Attachment(self, f"a session of {user}")

    async def make(self, record: Connection, holder: str) -> ServerEnd:
        """A new connection to one of the servers.

        :param record: of the client that it is for.
        :param holder: whose it is, for people.
        :raises ProtocolError: ``attach``, when there is none to be had.
        """
        try:
            lease = await self.upstream.acquire(record.host, record, holder=holder)
        except (RemoteError, Closed, OutOfResources) as error:
            self.counts["failed"] += 1
            raise ProtocolError("attach", str(error)) from None
        pool = self.upstream.pools[lease.server.name]  # its server may be removed before it is over
        mark = self._random_bytes(MARK_BYTES).hex()
        end = ServerEnd(
            mark, holder, lease, pool, record, self.clock, self._ends.discard, self._left, self._buffer
        )
        try:
            lease.attach(end)
        except BaseException:
            pool.release(lease, reusable=False, ok=False)
            raise
        self._ends.add(end)
        self.counts["made"] += 1
        return end

    def drain(self, patience: float) -> None:
        """The process is about to end: nobody comes back for what has no client, now or later.

        :param patience: seconds that clients have left; shortly before their end who is still attached is
            told that all is over.
        """
        self._draining = True
        for end in tuple(self._ends):
            if end.carrier is None:
                self._give_up(end)
        left = patience - min(LAST_WORDS, patience / 10)
        self._last_words = self._deadlines.after(left, self._break_off)

    def stop(self) -> None:
        """The drain is over."""
        if self._last_words is not None:
            self._last_words.cancel()

    def figures(self) -> dict[str, dict[str, int]]:
        """Under ``attachments``, connections that have a client now (``attached``), or one that has sent a
        FIN and may be gone (``finished``), and that wait for one (``detached``).

        Since the start, how many were ``made``, and how often that ``failed``; how often a client ``resumed``
        one that had none, or one was ``taken_over`` from another client; how often a client wanted what is
        ``lost``, or ``left``; and how many were ``given_up``, for nobody came back.
        """
        now = Counter(end.state for end in self._ends)
        return {
            "attachments": {state: now[state] for state in STATES}
            | {event: self.counts[event] for event in EVENTS}
        }

    def _break_off(self) -> None:
        for end in tuple(self._ends):
            end.break_off(Reason.DRAINED, THE_END)

    def _left(self, end: ServerEnd) -> None:
        self.counts["left"] += 1
        if self._draining:
            self._give_up(end)
        else:
            end.deadline = self._deadlines.after(self._timeout, lambda: self._give_up(end))

    def _give_up(self, end: ServerEnd) -> None:
        self.counts["given_up"] += 1
        why = THE_END if self._draining else f"nobody came back within {self._timeout:g} s"
        self.log.info(
            "gave up the connection to {server} of {holder}: {why}",
            server=end.server, holder=end.holder, why=why,
        )  # fmt: skip
        end.cut()


class Attachment:
    """What one session is attached to: a connection at a time, or none.

    :param attachments: all of them.
    :param holder: whose session it is, for people.
    """

    def __init__(self, attachments: Attachments, holder: str) -> None:
        self._all = attachments
        self._holder = holder
        self._lock = DeferredLock()
        self._closed = False
        self._last: ServerEnd | None = None

    def __repr__(self) -> str:
        return f"<Attachment of {self._holder}: {'closed' if self._closed else self._end}>"

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._end is not None

    async def attach(self, wanted: Wanted, client: Client) -> None:
        """Attach a client: answer it, and take its connection over.  One before it has no more part in it.

        :raises ProtocolError: ``lost`` when what it wants is not there, ``attach`` when no server can be had,
            ``no-session`` when the session has ended meanwhile.  The client's connection stays as it is then.
        """
        async with self._lock:
            if self._closed:
                raise no_session()
            end = await self._find(wanted, client.connection)
            received = end.outgoing.sent if wanted.received is None else wanted.received
            end.attend(client.connection)
            client.answer(f"OK {Granted(end.mark, end.incoming.received, received, end.window)}")
            client.hand_over(Carriage(end, client.connection, received, wanted.window, self._all.clock))

    def give_back(self) -> Deferred[None]:
        """The session has ended, and its connection with it."""
        self._closed = True
        if self._end is not None:
            self._end.because(Reason.SERVICE_CLOSED, "the session has ended")
            self._end.cut()
        return succeed(None)

    @property
    def _end(self) -> ServerEnd | None:
        return None if self._last is None or self._last.is_over else self._last

    async def _find(self, wanted: Wanted, record: Connection) -> ServerEnd:
        """The connection that is wanted, perhaps a new one."""
        end = self._end
        if end is not None and wanted.connection == NEW:
            self._replace(end)
            end = None
        if end is None and wanted.connection in ("", NEW):
            return await self._make(record)
        if end is None or wanted.connection not in ("", end.mark):
            raise self._lost("there is no such connection any more")
        if wanted.received is not None:
            try:
                end.outgoing.check(wanted.received)
            except ProtocolError as error:
                raise self._lost(f"that is not kept: {error}") from None
        self._all.counts["resumed" if end.carrier is None else "taken_over"] += 1
        return end

    async def _make(self, record: Connection) -> ServerEnd:
        end = self._last = await self._all.make(record, self._holder)
        if self._closed:
            end.cut()
            raise no_session()
        return end

    def _replace(self, end: ServerEnd) -> None:
        end.because(*TAKEN_OVER)
        if end.carrier is not None:
            self._all.counts["taken_over"] += 1
            end.carrier.taken()
        end.cut()

    def _lost(self, text: str) -> ProtocolError:
        self._all.counts["lost"] += 1
        return ProtocolError("lost", text)

"""What can be told of the sessions of a process.  None is told of by itself: nobody learns an id here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import TimeoutError as LateError

from tcpsuite.core.metrics import Family, Kind, Sample
from tcpsuite.errors import TcpsuiteError
from tcpsuite.net.attaching.attachments import EVENTS as ATTACHMENT_EVENTS
from tcpsuite.net.attaching.server_end import STATES as ATTACHMENT_STATES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

STORE_PATIENCE = 2.0
"""Seconds that the session store has to count; a scrape must not wait longer for it."""

EVENTS = ("opened", "resumed", "left", "destroyed", "expired")
"""Of the figures, those that count what has become of sessions."""

GAUGES = (
    ("count", "tcpsuite_sessions_stored", "Sessions that are stored."),
    ("users", "tcpsuite_session_users", "Users who have a session."),
    ("in_use", "tcpsuite_sessions_in_use", "Sessions that a connection uses."),
    ("connected", "tcpsuite_sessions_connected", "Sessions that have a connection of their own to a server."),
    ("longest_age", "tcpsuite_sessions_longest_age_seconds", "How long ago the oldest session was opened."),
    (
        "longest_idle",
        "tcpsuite_sessions_longest_idle_seconds",
        "How long nobody has used the session that was not used for longest.",
    ),
)


class SessionsView(Protocol):
    """What is looked at of a :class:`tcpsuite.net.sessions.SessionManager`."""

    @property
    def fault(self) -> str: ...

    def stats(self, top: int = 0) -> Deferred[dict[str, Any]]: ...

    def figures(self) -> dict[str, Any]: ...


async def sessions_data(sessions: SessionsView | None, clock: IReactorTime, top: int = 0) -> dict[str, Any]:
    """All of it as plain data; empty when nothing serves sessions.

    A store that does not answer within :data:`STORE_PATIENCE` seconds, or fails, is an ``error``, beside what
    is known without it; so is one that answers but takes no changes, beside all.

    :param top: users who are told of one by one, at most.
    """
    if sessions is None:
        return {}
    try:
        told = await sessions.stats(top).addTimeout(STORE_PATIENCE, clock)
    except LateError:
        return {"error": f"the store did not answer within {STORE_PATIENCE:g} s", **sessions.figures()}
    except TcpsuiteError as error:
        return {"error": str(error), **sessions.figures()}
    if not top:
        del told["top"]
    if sessions.fault:
        told["error"] = sessions.fault
    return {**told, **{key: round(told[key], 3) for key in ("longest_age", "longest_idle")}}


def session_families(told: Mapping[str, Any]) -> Iterator[Family]:
    """The same as metrics.  A user is no label: there is no bound to their number."""
    if not told:
        return
    up = Sample(int("error" not in told))
    yield Family("tcpsuite_session_store_up", Kind.GAUGE, "Whether the session store works: 1 or 0.", [up])
    for key, name, text in GAUGES:
        if key in told:
            yield Family(name, Kind.GAUGE, text, [Sample(told[key])])
    yield Family(
        "tcpsuite_session_requests_total",
        Kind.COUNTER,
        "How often sessions were used.",
        [Sample(told["uses"])],
    )
    yield Family(
        "tcpsuite_session_events_total",
        Kind.COUNTER,
        "What has become of sessions, by this process's doing.",
        [Sample(told[event], {"event": event}) for event in EVENTS],
    )
    if (attachments := told.get("attachments")) is not None:
        yield from _attachments(attachments)
    yield Family(
        "tcpsuite_session_refusals_total",
        Kind.COUNTER,
        "How often somebody was given no session, by the code of the answer.",
        [Sample(number, {"code": code}) for code, number in told["refused"].items()],
    )


def _attachments(told: Mapping[str, int]) -> Iterator[Family]:
    yield Family(
        "tcpsuite_session_attachments",
        Kind.GAUGE,
        "Connections of sessions to servers, with a client (attached), with one that has sent a FIN and may "
        "be gone (finished), and without (detached).",
        [Sample(told[state], {"state": state}) for state in ATTACHMENT_STATES],
    )
    yield Family(
        "tcpsuite_session_attachment_events_total",
        Kind.COUNTER,
        "What has become of connections of sessions to servers, and of those who wanted one.",
        [Sample(told[event], {"event": event}) for event in ATTACHMENT_EVENTS],
    )

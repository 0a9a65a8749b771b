"""Why a connection went where it went, and where the next one would go.

As plain data for programs, and as text made of just that data: the command line prints what a page has said.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from tcpsuite.core.choosing import Why
from tcpsuite.core.picks import Pick, Told
from tcpsuite.core.queueing import WhyHeld

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from twisted.internet.interfaces import IReactorTime

    from tcpsuite.admin.status import WhatifView
    from tcpsuite.core.connections import Attempt, Connection, Ledger

MEANINGS: Mapping[Why, str] = {
    Why.MAINT: "an operator has taken it out",
    Why.DRAINING: "an operator lets it run empty",
    Why.DOWN: "its health checks fail",
    Why.EJECTED: "connections to it failed too often",
    Why.NO_WEIGHT: "its weight is 0",
    Why.FULL: "it has as many connections as it takes",
    Why.BACKUP: "others that come before it may be used",
    Why.TRIED: "it failed for this client a moment ago",
}
HELD: Mapping[WhyHeld, str] = {
    WhyHeld.PAUSED: "an operator's pause",
    WhyHeld.FULL: "servers with as many connections as they take",
    WhyHeld.NONE_UP: "no server that is up and has not just failed it",
    WhyHeld.RETRIES: "as many others on their way to another server as may be at once",
}


def explanation(connection: Connection, now: float) -> dict[str, Any]:
    """All that is known of one connection, as plain data.

    :param now: on the reactor's clock.
    """
    opened = datetime.fromtimestamp(connection.opened_at, UTC)
    return {
        "id": connection.id,
        "peer": connection.peer,
        "listener": connection.listener,
        "service": connection.service,
        "upstream": connection.upstream,
        "strategy": connection.strategy,
        "server": connection.server,
        "user": connection.user,
        "opened": f"{opened:%Y-%m-%dT%H:%M:%S}.{opened.microsecond // 1000:03}Z",
        "open": connection.ended is None,
        "seconds": round(connection.duration(now), 3),
        "bytes_in": connection.bytes_in,
        "bytes_out": connection.bytes_out,
        "held": {
            "milliseconds": _milliseconds(connection.held),
            **_held(WhyHeld(connection.held_why) if connection.held_why else None),
        },
        "attempts": [{**pick_data(pick), **_attempt(pick.attempt)} for pick in connection.picks],
        "reason": None if connection.reason is None else connection.reason.value,
        "detail": connection.detail,
    }


def pick_data(pick: Pick) -> dict[str, Any]:
    """Who was picked, from whom, and why, as plain data."""
    choice, told = pick.choice, _told(pick)
    return {
        "server": pick.server or None,
        "candidates": list(choice.candidates),
        "rule": told.rule,
        "figures": told.figures,
        "slow_start": list(choice.slow),
        "left_out": [
            {"server": each.server, "why": each.why.value, "meaning": MEANINGS[each.why]}
            for each in choice.left_out
        ],
    }


def whatif_data(found: WhatifView) -> dict[str, Any]:
    """Where a client would go, why, and whether it would have to wait first, as plain data."""
    how = {"strategy": found.strategy, "reason": found.reason, "waits": _held(found.waits)}
    return {**how, "affinity": found.home, **pick_data(found.pick)}


def would_be_refused(told: Mapping[str, Any]) -> bool:
    """Whether the page of what-if says that the client would neither get a server nor wait for one."""
    return told["server"] is None and not told["waits"]["why"]


def tell(told: Mapping[str, Any]) -> str:
    """An :func:`explanation` for people: some lines, without an end of line behind the last."""
    return _text(_lines(told))


def tell_whatif(told: Mapping[str, Any]) -> str:
    """The same of what the page of what-if says."""
    server, client = told["server"], told["client"] or "a client on a UNIX socket"
    picked, waits = f"would go to {server}" if server else "would get no server", told["waits"]
    if waits["why"]:
        first = f"would wait for a server: {waits['why']}, {waits['meaning']}"
        picked = f"{first}; then it {picked}" if server else first
    first = f"{client} {picked}{_behind(told['reason'])}"
    return _text([first, *_home(told["affinity"]), *_choice(told, told["strategy"])])


def why(ledger: Ledger, clock: IReactorTime) -> Callable[[str], None]:
    """``why(id)`` for a prompt."""

    def why(connection_id: str) -> None:
        """Print why a connection went where it went: an open one, or one that ended of late."""
        if (found := ledger.find(connection_id)) is None:
            said = f"no connection {connection_id!r} is open, or has ended of late"
        else:
            said = tell(explanation(found, clock.seconds()))
        print(said)  # noqa: T201

    return why


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    way = [f"listener {told['listener']}", f"service {told['service']}"]
    way += [f"{kind} {told[kind]}" for kind in ("upstream", "server", "user") if told[kind]]
    yield f"{told['id']}: {told['peer']} at {', '.join(way)}"
    state = "open" if told["open"] else "was open"
    yield (
        f"accepted {told['opened']}, {state} for {told['seconds']:.3f} s,"
        f" {told['bytes_in']} bytes in, {told['bytes_out']} bytes out"
    )
    held = told["held"]
    if held["why"]:
        yield f"waited {held['milliseconds']} ms for a server: {held['why']}, {held['meaning']}"
    for number, attempt in enumerate(told["attempts"], 1):
        yield f"{number}. {_outcome(attempt)}"
        yield from _choice(attempt, told["strategy"])
    if not told["attempts"]:
        yield "no server was chosen for it"
    if told["reason"] is not None:
        yield f"{'ends' if told['open'] else 'ended'}: {told['reason']}{_behind(told['detail'])}"


def _outcome(attempt: Mapping[str, Any]) -> str:
    server, error, took = attempt["server"], attempt["error"], f"{attempt['milliseconds']} ms"
    if server is None:
        return "no server was picked"
    if error is None:
        return f"{server}: not connected yet"
    return f"{server}: failed after {took}: {error}" if error else f"{server}: connected in {took}"


def _choice(told: Mapping[str, Any], strategy: str) -> Iterator[str]:
    if told["candidates"]:
        yield f"   candidates: {', '.join(told['candidates'])}"
    if told["server"]:
        yield f"   by {strategy or 'its balancer'}: {told['rule'] or 'it does not say why'}"
    for what, figures in told["figures"].items():
        yield f"   {what}: {', '.join(f'{server} {figure:g}' for server, figure in figures.items())}"
    if told["slow_start"]:
        yield f"   still in their slow start: {', '.join(told['slow_start'])}"
    for each in told["left_out"]:
        yield f"   not {each['server']}: {each['why']}, {each['meaning']}"


def _home(known: Mapping[str, Any] | None) -> Iterator[str]:
    """What affinity remembers of a client."""
    if known is not None:
        number = known["open"]
        since = (
            f"{number} connection{'' if number == 1 else 's'} open"
            if number
            else f"idle for {known['idle']} s"
        )
        yield f"   affinity: its server is {known['server']}, {since}"


def _held(why: WhyHeld | None) -> dict[str, str]:
    return {"why": "", "meaning": ""} if why is None else {"why": why.value, "meaning": HELD[why]}


def _told(pick: Pick) -> Told:
    """What the balancer says of a pick, behind the weights."""
    if not pick.server:
        return Told("")
    choice = pick.choice
    weights = {"weight": dict(zip(choice.candidates, choice.weights, strict=True))}
    try:
        told = Told("") if pick.basis is None else pick.basis.told(choice, pick.server)
        return Told(f"{told.rule}", _rounded({**weights, **told.figures}))
    except Exception as error:  # one of somebody's own: what else is known is to be shown
        return Told(f"what it went by cannot be told: {error}", _rounded(weights))


def _rounded(figures: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """In as many digits as people read; without what is no number, for JSON has none such."""
    return {
        what: {
            server: figure if isinstance(figure, int) else float(f"{figure:.6g}")
            for server, figure in of.items()
            if isfinite(figure)
        }
        for what, of in figures.items()
    }


def _attempt(attempt: Attempt | None) -> dict[str, Any]:
    if attempt is None:
        return {"error": None, "milliseconds": None}
    took = _milliseconds(attempt.seconds)
    return {"server": attempt.server, "error": attempt.error, "milliseconds": took}


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _behind(text: str) -> str:
    return f", {text}" if text else ""


def _text(lines: Iterable[str]) -> str:
    """What a peer may have had a hand in must not give orders to a terminal, nor make a line of its own."""
    return "\n".join(map(plain, lines))


def plain(text: str) -> str:
    """``text`` with an escape in place of each character that is not printed."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)

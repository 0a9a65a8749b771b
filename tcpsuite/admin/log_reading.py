"""Reads the access log back, where it was written as JSON."""

from __future__ import annotations

import json
from datetime import datetime
from math import isfinite
from sys import intern
from typing import TYPE_CHECKING, Any

from attrs import Factory, define

from tcpsuite.core.simulation import Event

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


@define
class Reading:
    """What a log has told."""

    events: list[Event] = Factory(list)
    """The connections that were looked for, in the order of the lines."""
    others: int = 0
    """Lines of other connections: of other listeners, or refused before a server was looked for."""
    bad: int = 0
    """Lines that are none of a JSON access log."""
    first_bad: int = 0
    """The number of the first of these, counted from 1; 0 when there is none."""


def read_log(lines: Iterable[str | bytes], listeners: Collection[str]) -> Reading:
    """The connections of ``listeners`` for which a server was looked for."""
    reading = Reading()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            if values["listener"] not in listeners or values["reason"] == "limited":
                reading.others += 1
                continue
            reading.events.append(_event(values))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            reading.bad += 1
            reading.first_bad = reading.first_bad or number
    return reading


def _event(values: dict[str, Any]) -> Event:
    ended = datetime.fromisoformat(values["time"])
    if ended.tzinfo is None:
        raise ValueError("a time without its zone")
    seconds = float(values["seconds"])
    if not (isfinite(seconds) and seconds >= 0):
        raise ValueError("no time that a connection may have taken")
    server = str(values["server"])
    took = [float(attempt["seconds"]) for attempt in values["attempts"] if not attempt["error"]]
    return Event(
        ended.timestamp() - seconds,
        seconds,
        _host(values["peer"]),
        intern(server),
        int(values["bytes_in"]) + int(values["bytes_out"]),
        took[-1] if took and server else None,
    )


def _host(peer: str) -> str:
    """``192.0.2.7`` of ``192.0.2.7:4711``, ``2001:db8::1`` of ``[2001:db8::1]:4711``; none of a UNIX peer."""
    if peer == "unix" or peer.startswith("unix:"):
        return ""
    host, colon, _port = peer.rpartition(":")
    if not colon:
        raise ValueError("no address and port")
    return host.removeprefix("[").removesuffix("]")

"""Connections that carry streams, as the pages and the metrics show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tcpsuite.core.metrics import Family, Kind, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


class CarriersView(Protocol):
    """What is looked at of :class:`tcpsuite.net.mux.carriers.Carriers`."""

    def status(self) -> dict[str, Any]: ...


class DoorView(Protocol):
    """What is looked at of a :class:`tcpsuite.net.mux.door.MuxDoor`."""

    @property
    def carriers(self) -> CarriersView: ...


class TrunkView(Protocol):
    """What is looked at of a :class:`tcpsuite.net.mux.endpoints.Trunk`."""

    @property
    def connections(self) -> CarriersView: ...


def mux_data(doors: Mapping[str, Sequence[DoorView]], trunks: Mapping[str, TrunkView]) -> dict[str, Any]:
    """Those that came, by listener, and those that were made, by the string that names them.

    :param doors: of each listener, one for each endpoint that carries streams; those without are left out.
    """
    return {
        "listeners": {
            name: _together([door.carriers.status() for door in each]) for name, each in doors.items() if each
        },
        "trunks": {text: trunk.connections.status() for text, trunk in trunks.items()},
    }


def mux_families(told: Mapping[str, Any]) -> Iterator[Family]:
    """The same as metrics; ``told`` is empty where nothing is known."""
    labelled = [
        ({"side": side[:-1], "name": name}, each)
        for side, found in told.items()
        for name, each in found.items()
    ]

    def every(number: Callable[[Mapping[str, Any]], float | None]) -> list[Sample]:
        return [Sample(value, labels) for labels, each in labelled if (value := number(each)) is not None]

    def by(label: str, key: str) -> list[Sample]:
        return [
            Sample(number, {**labels, label: what})
            for labels, each in labelled
            for what, number in each[key].items()
        ]

    for name, kind, text, samples in (
        ("connections_open", Kind.GAUGE, "Connections that carry streams.", every(lambda of: of["open"])),
        ("connections_total", Kind.COUNTER, "As many as there were.", every(lambda of: of["made"])),
        ("streams_open", Kind.GAUGE, "Streams on them.", every(lambda of: of["streams"])),
        ("unread_bytes", Kind.GAUGE, "Bytes that came on streams and wait for their readers.",
         every(lambda of: of["unread"])),
        ("round_trip_seconds", Kind.GAUGE, "The least round trip that was measured, on the slowest of them.",
         every(lambda of: of["round_trip"])),
        ("events_total", Kind.COUNTER, "Frames skipped, streams refused, streams reset for what they held.",
         by("event", "events")),
        ("connections_lost_total", Kind.COUNTER, "Such connections that are gone, by the cause.",
         by("cause", "lost")),
    ):  # fmt: skip
        yield Family(f"tcpsuite_mux_{name}", kind, text, samples)


def _together(told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is told of several, as of one."""
    first, *others = told
    for other in others:
        for key, value in other.items():
            match value:
                case dict():
                    first[key] = {
                        each: first[key].get(each, 0) + value.get(each, 0) for each in {**first[key], **value}
                    }
                case _ if key == "round_trip":
                    first[key] = max(first[key] or 0.0, value or 0.0) or None
                case _:
                    first[key] += value
    return first

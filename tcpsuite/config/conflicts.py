"""Endpoints that cannot listen at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.abstract import isIPv6Address

from tcpsuite.config.endpoints import address_of, check_server, shares_port
from tcpsuite.config.faults import Fault, HintedError
from tcpsuite.config.lines import Path, format_path
from tcpsuite.net.endpoints import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tcpsuite.config.tree import Tree


def conflicts(tree: Tree) -> Iterator[Fault]:
    """Endpoints that cannot listen, because another one listens there."""
    taken: list[tuple[tuple[str, int | str], bool, Path]] = []
    for path, text in _server_endpoints(tree):
        try:
            check_server(text)
        except HintedError:
            continue  # a fault of its own
        place = _place(text)
        if place is None:
            continue
        shared = shares_port(text)
        for other, other_shared, owner in taken:
            if _same(place, other) and not (shared and other_shared):
                origin = tree.origin(path)
                got = f"{text}, where {format_path(owner)} ({tree.origin(owner)}) listens"
                yield Fault(origin.source, origin.line, format_path(path), "an address of its own", got)
                break
        taken.append((place, shared, path))


def _server_endpoints(tree: Tree) -> Iterator[tuple[Path, str]]:
    listeners = tree.find(("listener",))
    names = listeners if isinstance(listeners, dict) else ()
    for path in (
        *(("listener", name, "endpoint") for name in names),
        ("admin", "endpoint"),
        ("manhole", "ssh"),
    ):
        match tree.find(path):
            case str() as text if text:
                yield path, str(text)
            case list() as texts:
                yield from (
                    ((*path, index), str(text)) for index, text in enumerate(texts) if isinstance(text, str)
                )


def _place(text: str) -> tuple[str, int | str] | None:
    parts = Parts.of(text)
    if parts.type != "systemd":
        return address_of(text)
    given = parts.given("domain", "index", "name")
    kind = "name" if "name" in given else "index"
    return f"systemd {kind}", given[kind]


def _same(one: tuple[str, int | str], other: tuple[str, int | str]) -> bool:
    (host, port), (other_host, other_port) = one, other
    if port != other_port or port == 0:
        return False
    return host == other_host or (
        isinstance(port, int) and (_covers(host, other_host) or _covers(other_host, host))
    )


def _covers(host: str, other: str) -> bool:
    """Whether who listens on ``host`` listens on ``other`` too: ``::`` is everything, IPv4 as well."""
    return host == "::" or (host in ("", "0.0.0.0") and not isIPv6Address(other))

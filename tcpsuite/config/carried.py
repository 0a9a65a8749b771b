"""Listeners whose connections are streams that others carry: what makes no sense for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcpsuite.config.faults import Fault
from tcpsuite.config.lines import format_path
from tcpsuite.config.walk import options_of
from tcpsuite.net.endpoints import carrier_of
from tcpsuite.net.mux.options import MuxTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tcpsuite.config.lines import Path
    from tcpsuite.config.schema import Config
    from tcpsuite.config.tree import Tree

    Remarks = Iterator[tuple[Path, str]]

_BY_ADDRESS = {"strategy": "ip_hash", "affinity": "ip"}
"""The options of an upstream, and their values, that go by a client's address."""


def blind(config: Config, tree: Tree) -> Iterator[Fault]:
    """Upstreams that tell clients apart by an address that streams do not carry: all of them would have that
    of the peer that carries them, and so one server.
    """
    told = set()
    for name, listener in config.listeners.items():
        upstream = (
            config.sessions.upstream
            if listener.service == "session"
            else getattr(listener.options, "upstream", "")
        )
        if not upstream or not any(map(carrier_of, listener.endpoint)):
            continue
        for option, value in _BY_ADDRESS.items():
            path = ("upstream", upstream, option)
            if getattr(config.upstreams[upstream], option) == value and path not in told:
                told.add(path)
                origin = tree.origin(path)
                expected = (
                    f"nothing that goes by clients' addresses, for streams to listener {name} carry none"
                )
                yield Fault(origin.source, origin.line, format_path(path), expected, repr(value))


def doubts(config: Config) -> Remarks:
    """What is asked of connections that carry streams, where none do."""
    for name, listener in config.listeners.items():
        if any(map(carrier_of, listener.endpoint)):
            continue
        for own in options_of(MuxTable):
            if getattr(listener.mux, own.name) != own.default:
                yield ("listener", name, "mux", own.name), "it says nothing without an endpoint mux:"

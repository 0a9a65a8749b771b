"""What is not wrong with a configuration, and not well either: the start and ``tcpsuite check`` say it."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from twisted.application.reactors import getReactorTypes

from tcpsuite.config.carried import doubts as carried_doubts
from tcpsuite.config.endpoints import address_of
from tcpsuite.config.faults import Fault
from tcpsuite.config.lines import format_path
from tcpsuite.config.patience import doubts as patience_doubts
from tcpsuite.config.pools import doubts as pool_doubts
from tcpsuite.config.sharing import doubts as sharing_doubts
from tcpsuite.config.tuning import doubts as machine_doubts
from tcpsuite.config.upstreams import doubts as upstream_doubts
from tcpsuite.config.upstreams import unusable
from tcpsuite.config.walk import entries
from tcpsuite.errors import StartError
from tcpsuite.net.auth import read_users
from tcpsuite.net.override_file import read_overrides
from tcpsuite.options import DirectoryPath, FilePath
from tcpsuite.stores.redis.extra import need_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tcpsuite.config.lines import Path
    from tcpsuite.config.schema import Config
    from tcpsuite.config.tree import Tree
    from tcpsuite.config.tuning import Machine

    Remarks = Iterator[tuple[Path, str]]

LOOPBACK = ("127.", "::1", "localhost", "unix")


def missing(config: Config, tree: Tree) -> list[Fault]:
    """Files and directories that are named and do not exist; a start would fail."""
    state = config.state_directory
    return _faults(
        tree,
        (
            (entry.path, f"{entry.value} does not exist")
            for entry in entries(config)
            if entry.field.type in (FilePath, DirectoryPath)
            and entry.value not in ("", "-")
            and os.path.commonpath((state, entry.value)) != state  # what lies there is made when it is needed
            and not os.path.exists(entry.value)
        ),
    )


def broken(config: Config, tree: Tree) -> list[Fault]:
    """What is there and cannot be used as what it is named for; a start will fail."""
    return [
        fault
        for remarks in (
            _reactor(config.reactor),
            _passwords(config.auth.passwords),
            _overrides(config),
            _redis(config),
            unusable(config),
        )
        for fault in _faults(tree, remarks)
    ]


def doubts(config: Config, tree: Tree, machine: Machine) -> list[Fault]:
    """Values that make no sense together, or not on this machine."""
    return [
        fault
        for remarks in (
            _listeners(config),
            upstream_doubts(config),
            pool_doubts(config, tree),
            patience_doubts(config, tree),
            sharing_doubts(config, tree),
            carried_doubts(config),
            _admin(config),
            machine_doubts(config, machine),
        )
        for fault in _faults(tree, remarks)
    ]


def _faults(tree: Tree, remarks: Remarks) -> list[Fault]:
    found = []
    for path, text in remarks:
        origin = tree.origin(path)
        found.append(Fault(origin.source, origin.line, format_path(path), "", text))
    return found


def _reactor(name: str) -> Remarks:
    """A reactor of another system, or built on a library that is not there.  Of ``auto`` none is tried."""
    for known in getReactorTypes():
        if known.shortName == name:
            try:
                import_module(known.moduleName)  # type: ignore[attr-defined]
            except Exception as error:  # somebody else's libraries may raise anything
                yield ("reactor",), f"{name} cannot be used here: {error}"


def _passwords(file: str) -> Remarks:
    if os.path.exists(file):
        try:
            read_users(file)
        except StartError as error:
            yield ("auth", "passwords"), str(error)


def _overrides(config: Config) -> Remarks:
    files: dict[str, str] = {}
    for name, listener in config.listeners.items():
        files.setdefault(listener.limits.overrides, name)  # mostly of [limits], and told once
    for file, name in files.items():
        if os.path.exists(file):
            try:
                read_overrides(file)
            except StartError as error:
                for line in str(error).splitlines():
                    yield ("listener", name, "limits", "overrides"), line


def _redis(config: Config) -> Remarks:
    listeners = config.listeners
    wanted: list[Path] = [
        ("listener", name, "limits", "shared") for name, each in listeners.items() if each.limits.shared
    ]
    if config.sessions.store == "redis" and any(each.service == "session" for each in listeners.values()):
        wanted.append(("sessions", "store"))
    if wanted:
        try:
            need_redis()
        except StartError as error:
            yield from ((path, str(error)) for path in wanted)


def _listeners(config: Config) -> Remarks:
    if not config.listeners:
        yield ("listener",), "there is none, so nothing is served"
    for name, listener in config.listeners.items():
        options, path = listener.options, ("listener", name)
        if listener.limits.connections_per_ip > listener.limits.connections:
            yield (
                (*path, "limits", "connections_per_ip"),
                "more than connections, so it never limits anything",
            )
        if config.auth.passwords:
            continue
        if listener.service == "session" and not options.anonymous:
            yield (*path, "service"), "nobody can log in: auth.passwords names no file, and anonymous is off"
        if listener.service == "files" and options.uploads and not options.token:
            yield (*path, "uploads"), "nobody may upload: there is no token, and auth.passwords names no file"


def _admin(config: Config) -> Remarks:
    for text in config.admin.endpoint:
        address = address_of(text)
        if address and not address[0].startswith(LOOPBACK) and not config.admin.token:
            yield ("admin", "endpoint"), "it answers to other machines, and no token is asked for"
    if config.manhole.ssh and not config.manhole.authorized_keys:
        yield ("manhole", "ssh"), "nobody can log in: authorized_keys names no file"

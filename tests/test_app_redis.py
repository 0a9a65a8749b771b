"""Sessions in Redis, as the configuration asks for them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from twisted.internet import reactor

from tcpsuite.app import build
from tcpsuite.config import load
from tcpsuite.errors import StartError
from tcpsuite.net.sessions import SessionManager
from tcpsuite.stores.redis.sessions import RedisSessionStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = """
[listener.sessions]
endpoint = "tcp:0:interface=127.0.0.1"
service = "session"
anonymous = true

[sessions]
store = "redis"

[redis]
server = "tcp:192.0.2.1:6379"
prefix = "mine:"
connections = 3
"""


def test_built_as_it_says(tmp_path: Path) -> None:
    """The store is made of the table; nothing is connected before the start."""
    file = tmp_path / "x.toml"
    file.write_text(TEXT)
    suite = build(load(str(file), environ={}).config, reactor)
    assert suite.sessions is not None
    assert repr(suite.sessions.store) == (
        "<RedisSessionStore <RedisClient redis tcp:192.0.2.1:6379 connections=0 of 3>>"
    )


def test_one_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the clock of Redis is compared with is the clock that sessions go by, and never jumps."""
    made: list[Callable[[], float]] = []

    def steady() -> Callable[[], float]:
        made.append(lambda: 1000.0)
        return made[-1]

    monkeypatch.setattr("tcpsuite.app.steady_time", steady)
    file = tmp_path / "x.toml"
    file.write_text(TEXT)
    sessions = build(load(str(file), environ={}).config, reactor).sessions
    assert isinstance(sessions, SessionManager)
    assert isinstance(sessions.store, RedisSessionStore)
    assert made == [sessions._here] == [sessions.store._client._now]


def test_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed the start says which one is wanted."""
    file = tmp_path / "x.toml"
    file.write_text(TEXT)
    config = load(str(file), environ={}).config
    for name in [name for name in sys.modules if name.startswith("tcpsuite.stores.redis.")]:
        if not name.endswith(".options"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "txredisapi", None)
    with pytest.raises(StartError, match=r"sessions\.store: redis wants tcpsuite\[redis\] installed: "):
        build(config, reactor)


SHARED = """
[listener.echo]
endpoint = "tcp:0:interface=127.0.0.1"
service = "echo"
limits = { shared = ["connections_per_ip"] }

[redis]
server = "tcp:192.0.2.1:6379"
"""


def test_shared_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who shares limits has one connection for them, who shares none has none, and the extra is wanted."""
    file = tmp_path / "x.toml"
    file.write_text(SHARED)
    config = load(str(file), environ={}).config
    assert repr(build(config, reactor).shared_limits) == (
        "<RedisLimits <Sharing <Standing together> peers=0 tables=1>"
        " <RedisClient redis tcp:192.0.2.1:6379 connections=0 of 1>>"
    )
    monkeypatch.setitem(sys.modules, "txredisapi", None)
    with pytest.raises(StartError, match=r"limits\.shared: redis wants tcpsuite\[redis\] installed"):
        build(config, reactor)
    file.write_text(SHARED.replace("limits =", "#"))
    assert build(load(str(file), environ={}).config, reactor).shared_limits is None

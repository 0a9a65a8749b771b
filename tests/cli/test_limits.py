"""``tcpsuite limits top``, asking an admin listener on a real socket."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest_twisted

from tcpsuite.admin.http import AdminListener, AdminOptions
from tcpsuite.options import Endpoints
from tests.admin.support import FakeSharedLimits, FakeSuite, busy_suite, shared_limiter
from tests.cli.test_client import invoke

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def admin_of(suite: FakeSuite) -> AsyncIterator[str]:
    """Where its admin listener is."""
    from twisted.internet import reactor

    listener = AdminListener(AdminOptions(Endpoints(("tcp:0:interface=127.0.0.1",))), suite, reactor)
    await listener.start()
    yield f"http://{listener.addresses[0]}"
    await listener.stop()


@pytest_twisted.async_yield_fixture
async def admin() -> AsyncIterator[str]:
    """Where the admin listener of a busy suite is."""
    async with admin_of(busy_suite()) as address:
        yield address


@pytest_twisted.ensureDeferred
async def test_top(admin: str) -> None:
    """It prints what was refused, and who uses most of each limit, listener by listener."""
    result = await invoke("limits", "top", "--admin", admin)
    assert result.exit_code == 0, result.output
    assert [line.rstrip() for line in result.stdout.splitlines()] == [
        (
            "listener db: connections refused 1 (connections_per_ip 1); requests refused 1 (message_rate 1); "
            "would have been refused 1 (connection_rate 1)"
        ),
        "limit                 who        used   of",
        "connections_per_ip    192.0.2.7     2  100",
        "connections_per_ip    192.0.2.8     1  any",
        "connections_per_user  user:ann      1    5",
        "listener echo: nothing was refused",
    ]


@pytest_twisted.ensureDeferred
async def test_less(admin: str) -> None:
    """Of one listener, so many of each limit, or as JSON; the options stand before the command or behind."""
    for words in (
        ("limits", "--admin", admin, "--json", "top"),
        ("limits", "top", "--json", "--admin", admin),
    ):
        result = await invoke(*words, "--listener", "db", "-n", "1")
        assert result.exit_code == 0, result.output
        (db,) = json.loads(result.stdout)["listeners"].values()
        assert [use["key"] for use in db["top"]] == ["192.0.2.7", "user:ann"]


@pytest_twisted.ensureDeferred
async def test_nonsense(admin: str) -> None:
    """A listener that there is not, and a number that is none, are told so."""
    result = await invoke("limits", "top", "--listener", "dc", "--admin", admin)
    assert (result.exit_code, result.stderr) == (1, "Error: there is no listener 'dc'; there is db, echo\n")
    assert (await invoke("limits", "top", "-n", "0", "--admin", admin)).exit_code == 2


@pytest_twisted.ensureDeferred
async def test_shared() -> None:
    """Of shared limits it tells how many share them, or for how long they are counted alone."""
    suite = busy_suite()
    suite.limiters["db"] = shared_limiter()
    suite.shared_limits = shared = FakeSharedLimits()
    async with admin_of(suite) as address:
        result = await invoke("limits", "top", "--listener", "db", "--admin", address)
        told = "counted alone for 12 s, as Redis is away: connections_per_ip (9 reserved)"
        assert result.stdout.splitlines()[1] == told
        shared.alone_for = None
        result = await invoke("limits", "top", "--listener", "db", "--admin", address)
        told = "shared with 2 other processes: connections_per_ip (9 reserved)"
        assert result.stdout.splitlines()[1] == told

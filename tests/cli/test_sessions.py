"""``tcpsuite sessions``, asking an admin listener on a real socket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest_twisted
from twisted.internet.defer import fail

from tcpsuite.admin.http import AdminListener, AdminOptions
from tcpsuite.errors import StoreFailed
from tcpsuite.options import Endpoints
from tests.admin.support import FakeSessions, FakeSuite, busy_suite
from tests.cli.test_client import invoke

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_twisted.async_yield_fixture
async def admin() -> AsyncIterator[tuple[str, FakeSuite]]:
    """Where the admin listener of a suite with sessions is, and the suite."""
    from twisted.internet import reactor

    suite = busy_suite()
    listener = AdminListener(AdminOptions(Endpoints(("tcp:0:interface=127.0.0.1",))), suite, reactor)
    await listener.start()
    yield f"http://{listener.addresses[0]}", suite
    await listener.stop()


@pytest_twisted.ensureDeferred
async def test_sessions(admin: tuple[str, FakeSuite]) -> None:
    """It prints how many there are, how they are used, what became of them, and who has most."""
    result = await invoke("sessions", "--admin", admin[0])
    assert result.exit_code == 0, result.output
    assert [line.rstrip() for line in result.stdout.splitlines()] == [
        "stored: 3, users: 2, requests to them: 40",
        "oldest: 1:00:00, longest unused: 0:01:00",
        "in use: 1, with a connection of their own: 0",
        (
            "since the start: opened 9, resumed 8, left 7, destroyed 4, expired 2; "
            "refused: full 1, no-session 2"
        ),
        (
            "connections to servers: attached 5, finished 3, detached 4, made 20, failed 1, resumed 11, "
            "taken over 2, lost 3, left 15, given up 6"
        ),
        "user  sessions",
        "ann          2",
        "ben          1",
    ]


@pytest_twisted.ensureDeferred
async def test_less(admin: tuple[str, FakeSuite]) -> None:
    """So many users as are asked for; as JSON for programs."""
    result = await invoke("sessions", "-n", "1", "--json", "--admin", admin[0])
    assert json.loads(result.stdout)["top"] == {"ann": 2}


@pytest_twisted.ensureDeferred
async def test_nothing_to_tell(admin: tuple[str, FakeSuite]) -> None:
    """Where the store is away, or nothing serves sessions, that is said, and the exit status is 1."""
    url, suite = admin
    suite.sessions = FakeSessions(fail(StoreFailed("redis db: it is away")))
    result = await invoke("sessions", "--admin", url)
    assert (result.exit_code, result.stderr) == (1, "Error: redis db: it is away\n")
    suite.sessions = None
    result = await invoke("sessions", "--admin", url)
    assert (result.exit_code, result.stderr) == (1, "Error: no listener serves sessions\n")


@pytest_twisted.ensureDeferred
async def test_takes_no_changes(admin: tuple[str, FakeSuite]) -> None:
    """What is wrong with a store that answers is printed before all else."""
    admin[1].sessions = FakeSessions(fault="redis: OOM")
    result = await invoke("sessions", "--admin", admin[0])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[:2] == [
        "the store fails: redis: OOM",
        "stored: 3, users: 2, requests to them: 40",
    ]

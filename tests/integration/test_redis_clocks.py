"""Machines whose clocks do not agree, and that share sessions: they go by the clock of Redis."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import pytest_twisted
from twisted.internet.task import Clock

from tcpsuite.errors import ProtocolError
from tcpsuite.net.session_options import SessionRules
from tcpsuite.net.sessions import SessionManager
from tcpsuite.options import Duration
from tests.integration.support.programs import free_port
from tests.integration.support.redis import Redis
from tests.support.redis_stores import redis_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("redis_kind")

IDLE = 30.0
CLOSE = 5.0
"""Seconds that two looks at one clock may be apart on a busy machine."""


class Machine:
    """A session manager on a machine whose clock is wrong by so many seconds."""

    def __init__(self, port: int, wrong: float) -> None:
        self.wrong = wrong
        self.store = redis_store(port, now=self.now)
        options = SessionRules(idle_timeout=Duration(IDLE))
        self.clock = Clock()
        self.sessions = SessionManager(self.store, self.clock, options, now=self.now)

    def now(self) -> float:
        """What its clock shows."""
        return time.time() + self.wrong

    async def sweep(self) -> None:
        """Sweep out what has expired, when others have had the time to say what they use."""
        await self.sessions.sweep()
        self.clock.advance(IDLE)
        await self.sessions.sweep()


@pytest.fixture
def machines(tmp_path: Path, running: ExitStack) -> Iterator[list[Machine]]:
    """One whose clock is a minute fast, and one whose clock is a minute slow."""
    redis = running.enter_context(Redis(free_port(), tmp_path)).started()
    made = [Machine(redis.port, wrong) for wrong in (60.0, -60.0)]
    yield made
    for machine in made:
        pytest_twisted.blockon(machine.sessions.stop())


@pytest_twisted.ensureDeferred
async def test_clocks_that_do_not_agree(machines: list[Machine]) -> None:
    """A session that is idle for a moment is swept out by neither, and both can resume it."""
    for one, other in (machines, machines[::-1]):
        session_id, live = await one.sessions.create("ann")
        one.sessions.release(live)
        await other.sweep()
        live = await other.sessions.resume(session_id, "ann")
        assert int((await other.sessions.info(live))["age"]) < CLOSE
        other.sessions.release(live)
        await one.sweep()
        stats = await one.sessions.stats()
        assert stats["count"] == 1
        assert stats["longest_idle"] < CLOSE
        await one.sessions.destroy(live := await one.sessions.resume(session_id, "ann"))
        one.sessions.release(live)


@pytest_twisted.ensureDeferred
async def test_what_has_expired(machines: list[Machine]) -> None:
    """A session that nobody used for its time is over for both, whatever their clocks say."""
    slow = machines[1]
    session_id, live = await slow.sessions.create("ann")
    slow.sessions.release(live)
    for machine in machines:
        await machine.sessions.stats()  # now it is connected, and knows the time
        machine.wrong += IDLE + CLOSE  # so long is nobody there
    for machine in machines:
        with pytest.raises(ProtocolError, match="no such session"):
            await machine.sessions.resume(session_id, "ann")


@pytest_twisted.ensureDeferred
async def test_a_clock_that_is_set(machines: list[Machine]) -> None:
    """A clock that somebody has set under way is compared again at the next sweep."""
    machine = machines[0]
    await machine.sweep()
    assert abs(machine.store.ahead + 60) < CLOSE
    machine.wrong = 4000.0
    await machine.sweep()
    assert abs(machine.store.ahead + 4000) < CLOSE

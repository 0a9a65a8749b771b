"""Three servers that share their sessions through one Redis."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from signal import SIGKILL
from typing import TYPE_CHECKING

import pytest

from tests.integration.support.programs import free_port, wait_until
from tests.integration.support.redis import Redis
from tests.integration.support.suites import Suite
from tests.integration.test_sessions import Client

if TYPE_CHECKING:
    from pathlib import Path

SHARED = """
[listener.sessions]
endpoint = "tcp:<sessions>:interface=127.0.0.1"
service = "session"
anonymous = true

[sessions]
store = "redis"
max_keys = 2

[redis]
server = "tcp:127.0.0.1:{port}"
timeout = "1s"
"""


@pytest.fixture
def redis(tmp_path: Path, running: ExitStack, redis_kind: None) -> Redis:
    """A Redis that keeps nothing when it ends."""
    return running.enter_context(Redis(free_port(), tmp_path)).started()


@pytest.fixture
def suites(tmp_path: Path, running: ExitStack, redis: Redis) -> list[Suite]:
    """Three servers."""
    begun = []
    for name in "abc":
        (tmp_path / name).mkdir()
        begun.append(running.enter_context(Suite(SHARED.format(port=redis.port), tmp_path / name)))
    return [suite.started() for suite in begun]


def is_ready(suite: Suite, expected: bool) -> bool:
    """Whether it says so, or whether it does not."""
    return suite.get("/readyz")[0] == (200 if expected else 503)


def test_one_truth(suites: list[Suite]) -> None:
    """A session that is opened on one server is there on the others, with every change, at once; its limits
    hold over all of them, and when one ends it, all have lost it.
    """
    with ExitStack() as stack:
        one, two, three = (stack.enter_context(Client(suite.ports["sessions"])) for suite in suites)
        session = one.wants("OPEN")
        one.wants("SET greeting hello")
        assert two.wants(f"RESUME {session}") == "1"
        assert two.wants("GET greeting") == "hello"
        two.wants("SET greeting good day")
        assert one.wants("GET greeting") == "good day"
        assert three.wants(f"RESUME {session}") == "1"
        three.wants("SET second 2")
        for client in (one, two, three):
            assert client.ask("SET third 3") == "ERR full a session may hold 2 keys"
        suites[0].end(SIGKILL)
        assert two.wants("KEYS") == "2"
        assert [two.read() for _ in range(2)] == ["greeting", "second"]
        two.wants("CLOSE")
        three.refused("GET greeting")
    for suite in suites[1:]:
        suite.finish()


def test_redis_goes_away(suites: list[Suite], redis: Redis, tmp_path: Path, running: ExitStack) -> None:
    """While Redis is away what needs it is answered ERR store, and connections stay, and no server is ready;
    what is asked when it is back is done.
    """
    with Client(suites[0].ports["sessions"]) as client:
        client.wants("OPEN")
        redis.end(SIGKILL)
        for _ in range(30):
            assert client.ask("SET greeting hello") == "ERR store the store failed, try again"
        assert "error" in suites[0].status()["sessions"]
        for suite in suites:
            wait_until(partial(is_ready, suite, False), "it was not ready")
        assert "sessions: redis: " in suites[0].get("/readyz")[1]
        running.enter_context(Redis(redis.port, tmp_path)).started()
        # That one is empty: the session is gone with the other.
        wait_until(lambda: client.ask("GET greeting").startswith("ERR no-session"), "it was back")
        client.wants("OPEN")
        client.wants("SET greeting hello")
        assert suites[0].status()["sessions"]["count"] == 1
        for suite in suites:
            wait_until(partial(is_ready, suite, True), "it was ready")
    for suite in suites:
        suite.finish()

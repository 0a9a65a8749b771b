"""A machine whose clock is set while a process runs."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.support.programs import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from tests.integration.support.suites import Suite

HOUR = 3600.0
PATIENCE = 20.0

WAITING = """
reactor = "{reactor}"

[listener.echo]
endpoint = "tcp:<echo>:interface=127.0.0.1"
service = "echo"

[listener.door]
endpoint = "tcp:<door>:interface=127.0.0.1"
service = "gateway"
upstream = "echo"
idle_timeout = "5m"

[listener.lines]
endpoint = "tcp:<lines>:interface=127.0.0.1"
service = "session"
anonymous = true

[upstream.echo]
servers = [{{ name = "a", address = "tcp:127.0.0.1:<echo>", max_connections = 1 }}]
queue_timeout = "5m"
health = {{ interval = "100ms" }}

[sessions]
store = "memory"
idle_timeout = "5m"

[access_log]
path = "{log}"
format = "json"
"""

SET_WALL_CLOCK = """
import time

def wall(real=time.time):
    with open({path!r}) as file:
        return real() + float(file.read())

time.time = wall
"""


class WallClock:
    """The wall clock of one process, which may be set.

    :param folder: for what Python runs first in that process.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._ahead = folder / "ahead"
        self.set(0.0)
        (folder / "sitecustomize.py").write_text(SET_WALL_CLOCK.format(path=str(self._ahead)))
        self.env = {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}

    def set(self, ahead: float) -> None:
        """Set it, so many seconds ahead of what it really is."""
        self.ahead = ahead
        new = self._ahead.with_suffix(".new")
        new.write_text(str(ahead))
        new.replace(self._ahead)

    def shows(self, then: float) -> bool:
        """Whether it showed that, within seconds of now."""
        return abs(then - self.ahead - time.time()) < PATIENCE


def checks(suite: Suite) -> Any:
    """What checks have found."""
    return json.loads(suite.get("/api/v1/health/echo")[1])["servers"]["a"]["checks"]


def checked(suite: Suite) -> int:
    """How often the server has been checked."""
    (server,) = suite.status()["upstreams"]["echo"]["servers"]
    return sum(server["checks"].values())


def check_again(suite: Suite) -> None:
    """Wait until the server has been checked some times more."""
    enough = checked(suite) + 5
    wait_until(lambda: checked(suite) >= enough, "checks went on")


def waiting(suite: Suite) -> int:
    """How many clients wait for the server."""
    number: int = suite.status()["upstreams"]["echo"]["queue"]["waiting"]
    return number


@pytest.mark.parametrize("reactor", ["auto", "epoll", "asyncio"])
def test_the_clock_is_set(
    serve: Callable[..., Suite], running: ExitStack, tmp_path: Path, reactor: str
) -> None:
    """An hour forth or two back, no time-out is over and none stands still: who is served and who waits stay,
    checks go on, sessions live.  What is told of time is what the clock shows.
    """
    clock, log = WallClock(tmp_path / "clock"), tmp_path / "access.log"
    suite = serve(WAITING.format(reactor=reactor, log=log), env=clock.env)

    def client(port: str, says: bytes) -> socket.socket:
        one = running.enter_context(socket.create_connection(("127.0.0.1", suite.ports[port]), PATIENCE))
        one.sendall(says)
        return one

    served, user = client("door", b"1"), client("lines", b"OPEN\nQUIT\n").makefile()
    assert served.recv(1) == b"1"
    _ok, session = user.readline().split()
    queued = client("door", b"2")
    wait_until(lambda: waiting(suite) == 1, "one waited")

    for ahead in (HOUR, -HOUR):
        clock.set(ahead)
        check_again(suite)
        assert clock.shows(checks(suite)["last_success"])
        assert waiting(suite) == 1
        served.sendall(b"3")
        assert served.recv(1) == b"3"
        assert client("lines", f"RESUME {session}\nQUIT\n".encode()).makefile().readline() == "OK 0\n"
        assert 0 <= suite.status()["uptime"] < PATIENCE

    served.close()
    assert queued.recv(1) == b"2"
    queued.close()
    wait_until(lambda: '"door"' in log.read_text(), "the first one's line was there")
    line = next(each for each in map(json.loads, log.read_text().splitlines()) if each["listener"] == "door")
    assert clock.shows(datetime.fromisoformat(line["time"]).timestamp())
    assert 0 < line["seconds"] < PATIENCE
    suite.finish()

"""Real programs on connections that survive, while the suite ends in good order."""

from __future__ import annotations

import socket
import time
from signal import SIGTERM
from typing import TYPE_CHECKING

from tests.integration.support.attach import SUITE, Attach
from tests.integration.support.programs import PATIENCE, free_port, need, wait_until
from tests.integration.support.redis import Redis

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from tests.integration.support.suites import Suite

DRAIN = 3.0


def test_stop(serve: Callable[..., Suite], tmp_path: Path, running: ExitStack) -> None:
    """Who is attached goes on while the suite drains.  Behind that it is reset, and need not wait for a suite
    that will not come back.
    """
    need("redis-server")
    redis = running.enter_context(Redis(free_port(), tmp_path)).started()
    text = f'drain_timeout = "{DRAIN:g}s"\n' + SUITE.format(timeout="2m")
    suite = serve(text, ports={"server": redis.port})
    attach = running.enter_context(Attach(suite.ports["sessions"], tmp_path)).started()
    with (
        socket.create_connection(("127.0.0.1", attach.port), timeout=PATIENCE) as framed,
        socket.create_connection(("127.0.0.1", suite.ports["sessions"]), timeout=PATIENCE) as raw,
    ):
        raw.sendall(b"OPEN\nATTACH\n")
        with raw.makefile("rb") as answers:
            assert [answers.readline()[:3] for _ in range(2)] == [b"OK "] * 2
        for program in (framed, raw):
            program.sendall(b"PING\r\n")
            assert program.recv(100) == b"+PONG\r\n"
        since = time.monotonic()
        suite.signal(SIGTERM)
        wait_until(lambda: suite.get("/readyz")[0] == 503, "it drained")
        for program in (framed, raw):
            program.sendall(b"PING\r\n")
            assert program.recv(100) == b"+PONG\r\n"
        for program in (framed, raw):
            assert was_reset(program)
        assert time.monotonic() - since < DRAIN + 5
    wait_until(lambda: attach.told, "why was told")
    assert attach.told == ["connection 1 is reset: the server's connection was lost: the process ends"]
    assert attach.end() == 0
    suite.finish()


def was_reset(program: socket.socket) -> bool:
    """Whether it ends by a reset, and not as if all had come."""
    try:
        assert program.recv(100) == b""
    except ConnectionResetError:
        return True
    return False

"""Signals: how a process with connections on it ends."""

from __future__ import annotations

import os
import socket
import time
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING

import pytest

from tests.integration.support.programs import Program, accepts, need, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from signal import Signals

    from tests.integration.support.suites import Suite

ECHO = """
drain_timeout = "{drain_timeout}"

[listener.echo]
endpoint = "tcp:<echo>:interface=127.0.0.1"
service = "echo"

[listener.gateway]
endpoint = "tcp:<gateway>:interface=127.0.0.1"
service = "gateway"
upstream = "echo"

[upstream.echo]
servers = [{{ name = "only", address = "tcp:127.0.0.1:<echo>" }}]
"""


def say(connection: socket.socket, data: bytes) -> None:
    """Send, and read the same back."""
    connection.sendall(data)
    assert connection.recv(len(data), socket.MSG_WAITALL) == data


def draining(suite: Suite) -> bool:
    """Whether the process has said that it is not ready any more."""
    return suite.get("/readyz")[0] == 503


@pytest.fixture(params=["echo", "gateway"])
def service(request: pytest.FixtureRequest) -> str:
    """Which listener the connection is on."""
    return str(request.param)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_drain(serve: Callable[..., Suite], service: str, number: Signals) -> None:
    """The first signal stops accepting; what is connected goes on, and its end is the end of the process."""
    suite = serve(ECHO.format(drain_timeout="60s"))
    with socket.create_connection(("127.0.0.1", suite.ports[service]), timeout=20) as connection:
        say(connection, b"before")
        suite.signal(number)
        wait_until(lambda: draining(suite), "the drain began")
        wait_until(lambda: not accepts(suite.ports[service]), "the port was closed")
        say(connection, b"after")
        assert suite.running
    assert suite.wait() == 0
    assert "Traceback" not in suite.output


def test_drain_timeout(serve: Callable[..., Suite], service: str) -> None:
    """At the end of the drain time-out the connection is cut."""
    suite = serve(ECHO.format(drain_timeout="1s"))
    with socket.create_connection(("127.0.0.1", suite.ports[service]), timeout=20) as connection:
        say(connection, b"before")
        began = time.monotonic()
        suite.signal(SIGTERM)
        with pytest.raises(ConnectionResetError):  # cut: a reset, where a FIN would say that all is well
            connection.recv(1)
        assert time.monotonic() - began >= 0.9
    assert suite.wait() == 0
    assert "Traceback" not in suite.output


def test_second_signal(serve: Callable[..., Suite], service: str) -> None:
    """A second signal cuts at once."""
    suite = serve(ECHO.format(drain_timeout="600s"))
    with socket.create_connection(("127.0.0.1", suite.ports[service]), timeout=20) as connection:
        say(connection, b"before")
        suite.signal(SIGTERM)
        wait_until(lambda: draining(suite), "the drain began")
        suite.signal(SIGTERM)
        assert suite.wait() == 0
    assert "Traceback" not in suite.output


def test_nothing_to_drain(serve: Callable[..., Suite]) -> None:
    """Without a connection the end is immediate."""
    suite = serve(ECHO.format(drain_timeout="600s"))
    began = time.monotonic()
    suite.finish()
    assert time.monotonic() - began < 10


def test_download_is_finished(serve: Callable[..., Suite], tmp_path: Path) -> None:
    """A download that is under way at SIGTERM arrives whole."""
    need("curl")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "file").write_bytes(os.urandom(20_000_000))
    suite = serve(
        '[listener.web]\nendpoint = "tcp:<web>:interface=127.0.0.1"\nservice = "files"\nroot = "root"\n'
    )
    copy = tmp_path / "copy"
    url = f"http://127.0.0.1:{suite.ports['web']}/file"
    slowly = ("curl", "--silent", "--limit-rate", "10M", "--output", copy, url)
    with Program(*slowly, log=tmp_path / "curl.log") as curl:
        wait_until(lambda: copy.stat().st_size > 0, "curl had a part")
        suite.signal(SIGTERM)
        assert curl.wait() == 0
    assert copy.read_bytes() == (tmp_path / "root" / "file").read_bytes()
    assert suite.wait() == 0
    assert "Traceback" not in suite.output

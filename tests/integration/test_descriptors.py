"""A process that may open few descriptors: it accepts no more than it can serve."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.integration.support.programs import wait_until
from tests.integration.support.suites import TWISTD, Suite

if TYPE_CHECKING:
    from pathlib import Path

LISTENERS = """
[listener.echo]
endpoint = "tcp:<echo>:interface=127.0.0.1"
service = "echo"

[listener.db]
endpoint = "tcp:<db>:interface=127.0.0.1"
service = "gateway"
upstream = "back"

[upstream.back]
servers = [{ name = "a", address = "tcp:127.0.0.1:<echo>" }]
health = { mode = "none" }
"""
DESCRIPTORS = 160
ROOM = DESCRIPTORS - 100  # that are kept for everything else


def test_few_descriptors(tmp_path: Path) -> None:
    """Who comes when there is no room waits in the kernel, and is served when somebody leaves."""
    argv = ("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}", *TWISTD)
    with Suite(LISTENERS, tmp_path, argv=argv) as suite, ExitStack() as clients:
        suite.started()
        echo = ("127.0.0.1", suite.ports["echo"])

        def client() -> socket.socket:
            skt = clients.enter_context(socket.create_connection(echo, timeout=10))
            skt.sendall(b"hello")
            return skt

        def counts() -> tuple[int, str]:
            (listener,) = [each for each in suite.status()["listeners"] if each["name"] == "echo"]
            return listener["totals"]["open"], listener["state"]

        first = [client() for _ in range(ROOM)]
        assert [skt.recv(5) for skt in first] == [b"hello"] * ROOM
        late = [client() for _ in range(10)]
        wait_until(lambda: counts() == (ROOM, "full"), "accepting rests")
        for skt in first[:10]:
            skt.close()
        assert [skt.recv(5) for skt in late] == [b"hello"] * 10
        assert counts() == (ROOM, "full")
        clients.close()
        wait_until(lambda: counts() == (0, "listening"), "everybody has left")


def test_room_is_shared(tmp_path: Path) -> None:
    """A listener that rests because another one has taken the room goes on when that has given it back."""
    argv = ("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}", *TWISTD)
    with Suite(LISTENERS, tmp_path, argv=argv) as suite, ExitStack() as clients:
        suite.started()
        for _ in range(ROOM):
            clients.enter_context(socket.create_connection(("127.0.0.1", suite.ports["echo"]), timeout=10))
        wait_until(lambda: suite.status()["connections"]["open"] == ROOM, "all are served")
        with socket.create_connection(("127.0.0.1", suite.ports["db"]), timeout=10) as skt:
            skt.sendall(b"hello")
            clients.close()
            assert skt.recv(5) == b"hello"

"""A process whose memory becomes short: it takes no new clients until there is some again."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.integration.support.programs import wait_until
from tests.integration.support.suites import BIN, Suite

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20
ECHO = """
[listener.echo]
endpoint = "tcp:<echo>:interface=127.0.0.1"
service = "echo"

[listener.echo.socket]
high_water = "16MiB"
"""
RUN = (str(BIN / "tcpsuite"), "run")


def resident(suite: Suite) -> int:
    """Bytes of its memory that are there."""
    (line,) = (
        line
        for line in suite.get("/metrics")[1].splitlines()
        if line.startswith("process_resident_memory_bytes ")
    )
    return int(float(line.split()[1]))


def test_clients_wait_until_there_is_memory_again(tmp_path: Path) -> None:
    """Clients who read nothing fill it; who comes then waits in the backlog, and is served when they have
    left.  Those who were there before are served meanwhile, and each step stands in the log once.
    """
    with Suite(ECHO, tmp_path, argv=RUN) as suite:
        suite.started()
        limit = resident(suite) + 60 * MIB
    overload = f"\n[overload]\nmemory_limit = {limit}\n"
    with Suite(ECHO + overload, tmp_path, argv=RUN) as suite, ExitStack() as clients:
        suite.started()

        def client() -> socket.socket:
            address = ("127.0.0.1", suite.ports["echo"])
            return clients.enter_context(socket.create_connection(address, timeout=20))

        def state() -> str:
            (listener,) = suite.status()["listeners"]
            return str(listener["state"])

        early = client()
        greedy = [client() for _ in range(8)]
        block = bytes(MIB)
        for skt in greedy:
            skt.settimeout(0.5)
            try:
                while True:
                    skt.sendall(block)
            except TimeoutError:
                pass
        wait_until(lambda: state() == "overloaded", "accepting rests")
        status, reasons = suite.get("/readyz")
        assert (status, "overloaded: memory" in reasons) == (503, True)
        assert suite.status()["overload"]["memory"]["limit"] == limit
        late = client()
        late.sendall(b"hello")
        early.sendall(b"still here")
        assert early.recv(10) == b"still here"
        assert suite.status()["connections"]["open"] == 1 + len(greedy)
        for skt in greedy:
            skt.close()
        assert late.recv(5) == b"hello"
        assert state() == "listening"
        clients.close()
        suite.finish()
        for words in ("no new connections are accepted", "new connections are accepted again"):
            assert suite.output.count(words) == 1, suite.output

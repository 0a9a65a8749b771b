"""How attached connections end, with real sockets at both their ends."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import pytest

from tests.integration.support.attach import Attach, suite_for
from tests.integration.support.programs import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from tests.integration.support.suites import Suite

    Pairs = Callable[[], tuple[socket.socket, socket.socket]]


def reset(connection: socket.socket) -> None:
    """Reset it, which tells of it even those who have not read all."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_all(connection: socket.socket) -> int:
    """How many bytes come before it is reset."""
    got = 0
    try:
        while data := connection.recv(1 << 16):
            got += len(data)
    except ConnectionResetError:
        return got
    raise AssertionError(f"{got} bytes, and a FIN")


@pytest.fixture
def pairs(serve: Callable[..., Suite], tmp_path: Path, running: ExitStack) -> Iterator[Pairs]:
    """Gives both ends of an attached connection: a program's, and its server's."""
    server = running.enter_context(socket.create_server(("127.0.0.1", 0)))
    server.settimeout(PATIENCE)
    suite = suite_for(serve, server.getsockname()[1])
    attach = running.enter_context(Attach(suite.ports["sessions"], tmp_path)).started()

    def pair() -> tuple[socket.socket, socket.socket]:
        program = running.enter_context(socket.create_connection(("127.0.0.1", attach.port), PATIENCE))
        program.sendall(b"?")
        while True:
            connection = running.enter_context(server.accept()[0])
            connection.settimeout(PATIENCE)
            if connection.recv(1):  # or it was a health check
                return program, connection

    yield pair
    assert attach.end() == 0
    suite.finish()


def test_last_words(pairs: Pairs) -> None:
    """What was said just before a reset arrives, and then the reset does, either way."""
    for _ in range(20):
        program, server = pairs()
        server.sendall(bytes(3000))
        reset(server)
        assert read_all(program) == 3000
        program, server = pairs()
        program.sendall(bytes(3000))
        reset(program)
        assert read_all(server) == 3000


def test_closed_before_the_end(pairs: Pairs) -> None:
    """Who speaks on to one that has closed is reset, whichever of the two that is."""
    for one, other in (pairs(), reversed(pairs())):
        one.sendall(b"bye")
        one.close()
        assert other.recv(3, socket.MSG_WAITALL) + other.recv(1) == b"bye"

        def speak(other: socket.socket = other) -> bool:
            try:
                other.sendall(b"x")
            except (ConnectionResetError, BrokenPipeError):
                return True
            return False

        wait_until(speak, "it was reset")

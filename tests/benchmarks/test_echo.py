"""The backend of the relays."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks import BENCHMARKS
from tests.integration.support.programs import Program, accepts, free_port, need, run

if TYPE_CHECKING:
    from pathlib import Path


def test_several_addresses(tmp_path: Path) -> None:
    """It echoes on as many addresses of loopback as it was told to, and on no more."""
    need("cc")
    program, port = tmp_path / "echo", free_port()
    run("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, BENCHMARKS / "echo.c")
    with Program(program, str(port), "3", log=tmp_path / "log") as echo:
        echo.ready(lambda: accepts(port), "it listened")
        for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            with socket.create_connection((address, port), timeout=10) as connection:
                connection.sendall(address.encode())
                assert connection.recv(100) == address.encode()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.4", port), timeout=10)

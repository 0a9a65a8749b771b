"""Sessions that outlive their connection, and the process."""

from __future__ import annotations

import socket
from signal import SIGKILL
from typing import TYPE_CHECKING, Self

import pytest

from tcpsuite.net.auth import set_password

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.support.suites import Suite

SESSIONS = """
[listener.sessions]
endpoint = "tcp:<sessions>:interface=127.0.0.1"
service = "session"

[auth]
passwords = "passwords"
"""


class Client:
    """Says a line, and reads the answer."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._reader = self._socket.makefile("r", encoding="utf-8", newline="\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._socket.close()

    def ask(self, line: str) -> str:
        """The answer to a line."""
        self._socket.sendall(f"{line}\r\n".encode())
        return self.read()

    def read(self) -> str:
        """The next line of an answer."""
        return self._reader.readline().rstrip("\r\n")

    def wants(self, line: str) -> str:
        """The answer to a line that must be carried out, without its OK."""
        word, _, rest = self.ask(line).partition(" ")
        assert word == "OK", (line, word, rest)
        return rest

    def refused(self, line: str) -> None:
        """Say a line that must be answered with an error."""
        assert self.ask(line).startswith("ERR ")


@pytest.fixture
def passwords(tmp_path: Path) -> None:
    """A password file with alice in it."""
    set_password(str(tmp_path / "passwords"), "alice", "correct horse")


def test_resumed_after_a_kill(serve: Callable[..., Suite], passwords: None) -> None:
    """A session opened on one connection is resumed on another, behind a SIGKILL and a new start."""
    first = serve(SESSIONS)
    with Client(first.ports["sessions"]) as client:
        client.wants("LOGIN alice correct horse")
        session = client.wants("OPEN")
        client.wants("SET greeting hello, world")
        client.wants("SET other ü")
        first.end(SIGKILL)

    second = serve(SESSIONS, ports=first.ports)
    with Client(second.ports["sessions"]) as client:
        client.refused(f"RESUME {session}")
        client.wants("LOGIN alice correct horse")
        client.wants(f"RESUME {session}")
        assert client.wants("GET greeting") == "hello, world"
        assert client.wants("GET other") == "ü"
    second.finish()
    assert session not in second.output


def test_two_connections(serve: Callable[..., Suite], passwords: None) -> None:
    """Who logs in anywhere has the session there, while its first connection is still open."""
    suite = serve(SESSIONS)
    with Client(suite.ports["sessions"]) as one, Client(suite.ports["sessions"]) as other:
        one.wants("LOGIN alice correct horse")
        session = one.wants("OPEN")
        one.wants("SET greeting hello")
        other.wants("LOGIN alice correct horse")
        other.wants(f"RESUME {session}")
        assert other.wants("GET greeting") == "hello"
    suite.finish()

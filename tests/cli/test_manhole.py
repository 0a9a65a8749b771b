"""``tcpsuite manhole`` as a user runs it: in a pipe, from a file, and on a terminal."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from contextlib import nullcontext
from fcntl import ioctl
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ
from typing import TYPE_CHECKING, Any

import click
import pytest
import pytest_twisted
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol

from tcpsuite.admin.manhole import Manhole, ManholeOptions
from tcpsuite.cli import manhole as module
from tests.admin.support import busy_suite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from twisted.python.failure import Failure

COMMAND = (sys.executable, "-c", "from tcpsuite.cli import main; main()", "manhole", "--socket")
PATIENCE = 20.0
"""Seconds until a process that does not say what it should has failed the test."""


class Process(ProcessProtocol):
    """A client, what it says, and how it ends."""

    transport: Any

    def __init__(self, script: bytes | None = None) -> None:
        self.said = b""
        self.errors = b""
        self.ended: Deferred[int] = Deferred()
        self._script = script
        self._awaited: tuple[bytes, Deferred[None]] | None = None

    def connectionMade(self) -> None:
        if self._script is not None:
            self.transport.write(self._script)
            self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        self.said += data
        if self._awaited and self._awaited[0] in self.said:
            (_, heard), self._awaited = self._awaited, None
            heard.callback(None)

    def errReceived(self, data: bytes) -> None:
        self.errors += data

    def processEnded(self, reason: Failure) -> None:
        ended: Any = reason.value
        self.ended.callback(ended.exitCode)

    async def says(self, words: bytes) -> None:
        """Wait for some words."""
        from twisted.internet import reactor

        if words not in self.said:
            heard: Deferred[None] = Deferred()
            self._awaited = words, heard
            await heard.addTimeout(PATIENCE, reactor)

    async def end(self) -> int:
        """Wait for its exit status."""
        from twisted.internet import reactor

        return await self.ended.addTimeout(PATIENCE, reactor)


@frozen
class Bench:
    """A process with a manhole, this one, and clients of it."""

    manhole: Manhole

    def start(self, process: Process, *, pty: bool = False, **options: Any) -> Any:
        from twisted.internet import reactor

        command = (*COMMAND, self.manhole.path)
        return reactor.spawnProcess(process, command[0], command, dict(os.environ), usePTY=pty, **options)

    def start_in_shell(self, process: Process, redirection: str) -> None:
        from twisted.internet import reactor

        spawn: Any = reactor
        script = f"exec {shlex.join((*COMMAND, self.manhole.path))} {redirection}"
        spawn.spawnProcess(process, "/bin/sh", ("sh", "-c", script), dict(os.environ))


@pytest_twisted.async_yield_fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    from twisted.internet import reactor

    manhole = Manhole(ManholeOptions(enabled=True), str(tmp_path), busy_suite(), reactor)
    await manhole.start()
    yield Bench(manhole)
    await manhole.stop()


@pytest_twisted.ensureDeferred
async def test_pipe(bench: Bench) -> None:
    """Lines that are piped in are run, and what they print is all that comes out."""
    process = Process(b"print(1)\nlen(ledger)")
    bench.start(process)
    assert (await process.end(), process.said, process.errors) == (0, b"1\n1\n", b"")


@pytest_twisted.ensureDeferred
async def test_file(bench: Bench, tmp_path: Path) -> None:
    """A file can be given as input."""
    script = tmp_path / "script.py"
    script.write_text("for i in range(3):\n    print(i)\n")
    process = Process()
    with script.open() as file:
        bench.start(process, childFDs={0: file.fileno(), 1: "r", 2: "r"})
    assert (await process.end(), process.said) == (0, b"0\n1\n2\n")


@pytest_twisted.ensureDeferred
async def test_terminal(bench: Bench) -> None:
    """On a terminal there is a prompt; the terminal's size is told, and told again when it changes."""
    process = Process()
    transport = bench.start(process, pty=True)
    ioctl(transport.fileno(), TIOCSWINSZ, pack("4H", 30, 100, 0, 0))
    await process.says(b">>> ")
    transport.write(b"6 * 7\r")
    await process.says(b"\r\n42\r\n>>> ")
    (door,) = bench.manhole._doors
    ioctl(transport.fileno(), TIOCSWINSZ, pack("4H", 40, 120, 0, 0))
    transport.write(b"import signal\r")
    await process.says(b"signal\r\n>>> ")
    assert (door._prompt.prompt.width, door._prompt.prompt.height) == (120, 40)
    transport.write(b"exit()\r")
    assert await process.end() == 0
    assert process.said.endswith(b"\x1b[4l")


@pytest_twisted.ensureDeferred
async def test_interrupt(bench: Bench) -> None:
    """Ctrl-C is for the prompt, and ends neither it nor the client."""
    process = Process()
    transport = bench.start(process, pty=True)
    await process.says(b">>> ")
    transport.write(b"from twisted.internet.defer import Deferred; Deferred()\r")
    await process.says(b"; Deferred()\r\n")
    transport.write(b"\x03")
    await process.says(b"cancelled\r\n>>> ")
    transport.write(b"\x04")
    assert await process.end() == 0


@pytest_twisted.ensureDeferred
async def test_server_goes(bench: Bench) -> None:
    """When the process stops, the client ends, with the terminal out of insert mode."""
    process = Process()
    bench.start(process, pty=True)
    await process.says(b">>> ")
    await bench.manhole.stop()
    assert await process.end() == 0
    assert process.said.endswith(b"\x1b[4l")


@pytest_twisted.ensureDeferred
async def test_nobody_there(bench: Bench) -> None:
    """Without a process there the client says so, and what may be the matter."""
    await bench.manhole.stop()
    process = Process(b"")
    bench.start(process)
    assert await process.end() == 1
    assert process.errors.decode() == (
        f"Error: {bench.manhole.path}: No such file or directory; is the manhole enabled there?\n"
    )


@pytest_twisted.ensureDeferred
async def test_closed_input(bench: Bench) -> None:
    """Without a standard input or output the client says so."""
    for closed in ("<&-", ">&-"):
        process = Process()
        bench.start_in_shell(process, closed)
        assert await process.end() == 1
        assert process.errors.decode() == "Error: standard input and standard output must be open\n"


@pytest_twisted.ensureDeferred
async def test_another_users_process(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of another user is told nothing, except by root; one of root's own may be told."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(bench.manhole.path)
        for server, us, good in ((5, 5, True), (5, 0, True), (0, 5, True), (5, 6, False)):
            monkeypatch.setattr("tcpsuite.admin.manhole.peer_of", lambda _, uid=server: (4711, uid))
            monkeypatch.setattr(os, "geteuid", lambda uid=us: uid)
            context = nullcontext() if good else pytest.raises(click.ClickException, match="user 5 listens")
            with context:
                module._check_server(connection, "path")

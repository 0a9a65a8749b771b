"""Which reactor a process runs on, and that tcpsuite's own serves programs that know nothing of it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.support.programs import Program, accepts, free_port
from tests.integration.support.suites import BIN, TWISTD, Suite

if TYPE_CHECKING:
    from pathlib import Path

ECHO = """
[listener.echo]
endpoint = "tcp:<echo>:interface=127.0.0.1"
service = "echo"
"""


@pytest.mark.parametrize(
    ("options", "line", "expected"),
    [
        ((), "", "TcpsuiteReactor"),
        ((), 'reactor = "auto"', "TcpsuiteReactor"),
        ((), 'reactor = "poll"', "PollReactor"),
        (("--reactor=epoll",), "", "EPollReactor"),
        (("-r", "select"), 'reactor = "poll"', "SelectReactor"),
        (("--reactor=asyncio",), "", "AsyncioSelectorReactor"),
    ],
)
def test_choice(tmp_path: Path, options: tuple[str, ...], line: str, expected: str) -> None:
    """The command line's word counts most, then the file's; else it is our own.  Echo works on each."""
    twistd, *rest = TWISTD
    with Suite(line + ECHO, tmp_path, argv=(twistd, *options, *rest)) as suite:
        suite.started()
        assert suite.status()["reactor"] == expected
        port = str(suite.ports["echo"])
        socat = ["socat", "-t5", "-", f"TCP:127.0.0.1:{port}"]
        block = b"0123456789abcdef" * 65536
        assert subprocess.run(socat, input=block, capture_output=True, timeout=20, check=True).stdout == block


def test_not_here(tmp_path: Path) -> None:
    """A reactor whose libraries are missing is a start that fails, in one line."""
    done = subprocess.run(
        [*TWISTD, "--set", "reactor=wx"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("the reactor wx cannot be used here: ")
    assert "Traceback" not in done.stderr


def test_any_program(tmp_path: Path) -> None:
    """``twistd -r tcpsuite web`` serves files as twisted.web does on any reactor."""
    (tmp_path / "hello").write_bytes(b"hello\n" * 100_000)
    port = free_port()
    listen = f"--listen=tcp:{port}:interface=127.0.0.1"
    argv = (str(BIN / "twistd"), "-n", "-r", "tcpsuite", "--pidfile=", "web", listen, "--path", str(tmp_path))
    with Program(*argv, log=tmp_path / "web.log") as web:
        web.ready(lambda: accepts(port), "twistd web listens")
        url = f"http://127.0.0.1:{port}/hello"
        got = subprocess.run(["curl", "-sf", url], capture_output=True, timeout=20, check=True).stdout
    assert got == b"hello\n" * 100_000

"""A start that cannot be: what it says, and that nothing listens."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.integration.support.programs import accepts, run
from tests.integration.support.suites import BIN, TWISTD, Suite

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from contextlib import ExitStack
    from pathlib import Path

ECHO = """
[listener.first]
endpoint = "tcp:<first>:interface=127.0.0.1"
service = "echo"

[listener.second]
endpoint = "tcp:<second>:interface=127.0.0.1"
service = "echo"
"""

FILES = """
[listener.web]
endpoint = "tcp:<web>:interface=127.0.0.1"
service = "files"
root = "nowhere"
"""

SESSIONS = """
[listener.sessions]
endpoint = "tcp:<sessions>:interface=127.0.0.1"
service = "session"
"""


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def refused(suite: Suite) -> str:
    """What a start says that must fail, and must fail properly."""
    assert suite.wait() == 1, repr(suite)
    assert "Traceback" not in suite.output
    return suite.output


def test_port_in_use(tmp_path: Path, running: ExitStack, taken: int) -> None:
    """A port in use: the listener and the address are named, the exit status is 1."""
    suite = running.enter_context(Suite(ECHO, tmp_path, ports={"second": taken}))
    said = refused(suite)
    assert "second" in said
    assert f"tcp:{taken}:interface=127.0.0.1" in said
    assert not accepts(suite.ports["first"])


def test_admin_port_in_use(tmp_path: Path, running: ExitStack, taken: int) -> None:
    """The same for the admin listener."""
    suite = running.enter_context(Suite(ECHO, tmp_path, ports={"admin": taken}))
    said = refused(suite)
    assert "admin" in said
    assert f"tcp:{taken}:interface=127.0.0.1" in said


STARTS = {"twistd": TWISTD, "tcpsuite": (str(BIN / "tcpsuite"), "run")}
"""The ways to start."""


def judge(
    text: str, folder: Path, running: ExitStack
) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """What a check does with a file, and what each way to start says that must refuse it; all at once."""
    suites = {}
    for name, argv in STARTS.items():
        own = folder / name
        own.mkdir()
        suites[name] = running.enter_context(Suite(text, own, argv=argv))
    checked = run(BIN / "tcpsuite", "check", suites["tcpsuite"].config, check=False)
    return checked, {name: refused(suite) for name, suite in suites.items()}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ECHO.replace("echo", "ecko"), ["tcpsuite.toml:4", "listener.first.service", "ecko", "echo"]),
        (ECHO + "limit = 1\n[speed]\n", ["tcpsuite.toml:9", "listener.second.limit", "limits", "speed"]),
        ("[listener.first\n", ["tcpsuite.toml:1"]),
    ],
    ids=["no such service", "no such options", "no TOML"],
)
def test_faults(tmp_path: Path, running: ExitStack, text: str, words: list[str]) -> None:
    """A fault of the file is said with its line and path, by whatever reads it; the exit status is 1."""
    checked, said = judge(text, tmp_path, running)
    assert checked.returncode == 1
    for who, output in {"check": checked.stderr, **said}.items():
        for word in words:
            assert word in output, who


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FILES, ["tcpsuite.toml:5", "listener.web.root", "nowhere"]),
        (SESSIONS + '[auth]\npasswords = "nowhere"\n', ["tcpsuite.toml:6", "auth.passwords", "nowhere"]),
    ],
    ids=["no root", "no password file"],
)
def test_not_there(tmp_path: Path, running: ExitStack, text: str, words: list[str]) -> None:
    """What is not on this machine prevents a start; a check, which may be made on another, warns of it."""
    checked, said = judge(text, tmp_path, running)
    assert checked.returncode == 0
    for who, output in {"check": checked.stderr, **said}.items():
        for word in words:
            assert word in output, who


def test_no_database(tmp_path: Path, running: ExitStack) -> None:
    """A session database that is none is named, and left as it is."""
    (tmp_path / "sessions.db").write_text("This is a letter.\n" * 100)
    text = f'{SESSIONS}anonymous = true\n[sessions]\npath = "{tmp_path}/sessions.db"\n'
    said = refused(running.enter_context(Suite(text, tmp_path)))
    assert f"{tmp_path}/sessions.db" in said
    assert (tmp_path / "sessions.db").read_text().startswith("This is a letter.")

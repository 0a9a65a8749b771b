"""Tests for ``tcpsuite attach``: its command line, and how it starts and ends."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.cli import attach as module
from tcpsuite.cli import main
from tcpsuite.core.attaching.dialogue import Login
from tests.integration.support.attach import COMMAND, Attach
from tests.integration.support.programs import PATIENCE, Program, wait_until

if TYPE_CHECKING:
    from pathlib import Path

ID = "EKqHNtDDRFoUCV4vXYUGUM18p-4OBEdvuW4JxLrGLsk"
ALICE = Login("alice", "open sesame")


class CommandLineTests(SynchronousTestCase):
    """What is served, for each command line; and why it is refused."""

    def setUp(self) -> None:
        self.served: list[tuple[object, ...]] = []
        self.patch(module, "_serve", lambda *asked: self.served.append(asked))

    def asked(self, *words: str, typed: str = "", **env: str) -> tuple[object, ...]:
        """What is to be served."""
        result = CliRunner().invoke(main, ["attach", *words], input=typed, env=env)
        self.assertEqual((result.exit_code, result.output), (0, ""))
        return self.served.pop()

    def refused(self, *words: str, **env: str) -> str:
        """Why nothing is."""
        result = CliRunner().invoke(main, ["attach", *words], env=env)
        self.assertEqual((result.exit_code, self.served), (2, []), result.output)
        why: str = result.stderr
        return why

    def write(self, data: bytes) -> str:
        """The name of a file that holds this."""
        name: str = os.path.abspath(self.mktemp())
        with open(name, "wb") as file:
            file.write(data)
        return name

    def test_addresses(self) -> None:
        """A port is one of this machine, for this machine; all else is said in endpoint strings."""
        for endpoint, listen, suite, place in (
            ("example.com:7090", "6432", "tcp:example.com:7090", "tcp:6432:interface=127.0.0.1"),
            ("[::1]:7090", "localhost:0", r"tcp:\:\:1:7090", "tcp:0:interface=127.0.0.1"),
            ("tls:example.com:7090", "[::1]:6432", "tls:example.com:7090", r"tcp:6432:interface=\:\:1"),
            ("unix:/run/x", "0.0.0.0:6432", "unix:/run/x", "tcp:6432:interface=0.0.0.0"),
            ("tcp:10.0.0.1:7090", "tcp:6432", "tcp:10.0.0.1:7090", "tcp:6432"),
            ("10.0.0.1:1", "unix:/run/y", "tcp:10.0.0.1:1", "unix:/run/y:mode=600"),
            ("10.0.0.1:1", "unix:/run/y:mode=660", "tcp:10.0.0.1:1", "unix:/run/y:mode=660"),
        ):
            self.assertEqual(self.asked(endpoint, "--listen", listen)[:2], (suite, place))

    def test_nobody(self) -> None:
        """Without more, who connects is nobody, and has a session of his own."""
        self.assertEqual(self.asked("h:1", "--listen", "0")[2:], (None, "", 120.0))
        self.assertEqual(self.asked("h:1", "--listen", "0", "--patience", "1.5s")[4], 1.5)

    def test_session(self) -> None:
        """A session is named by an option, the environment, a file, or what is typed."""
        place = ("h:1", "--listen", "0")
        for asked in (
            self.asked(*place, "--session", ID),
            self.asked(*place, TCPSUITE_SESSION=ID),
            self.asked(*place, "--session-file", self.write(f"{ID}\nmore\n".encode())),
            self.asked(*place, "--session-file", self.write(f"{ID}\r\n".encode()), TCPSUITE_SESSION="x"),
        ):
            self.assertEqual(asked[3], ID)

    def test_login(self) -> None:
        """The password comes from a file or the environment; to other machines it goes by TLS, or as told."""
        place, user = ("tls:h:1", "--listen", "0"), ("--user", "alice")
        file = self.write(b"open sesame\n")
        for asked in (
            self.asked(*place, *user, TCPSUITE_PASSWORD="open sesame"),
            self.asked(*place, *user, "--password-file", file),
            self.asked("127.0.0.1:1", *place[1:], *user, "--password-file", file),
            self.asked("localhost:1", *place[1:], *user, "--password-file", file),
            self.asked("unix:/x", *place[1:], *user, "--password-file", file),
            self.asked("mux:tls:h:1", *place[1:], *user, "--password-file", file),
            self.asked("mux:tcp:127.0.0.1:1:connections=2", *place[1:], *user, "--password-file", file),
            self.asked("mux:tcp:h:1", "--allow-plaintext", *place[1:], *user, "--password-file", file),
            self.asked("h:1", "--allow-plaintext", *place[1:], *user, "--password-file", file),
        ):
            self.assertEqual(asked[2], ALICE)

    def test_refused(self) -> None:
        """What cannot be is told at once, in one line each."""
        place = ("tls:h:1", "--listen", "0")
        for words, env, why in (
            (("h:1",), {}, "--listen"),
            (("h", "--listen", "0"), {}, "ENDPOINT"),
            (("h:1", "--listen", "70000"), {}, "a port from 0 to 65535"),
            ((*place, "--patience", "soon"), {}, "--patience"),
            ((*place, "--session-file", "/nowhere"), {}, "/nowhere: No such file"),
            ((*place, "--session-file", self.write(b"\n")), {"TCPSUITE_SESSION": ID}, "no id in it"),
            ((*place, "--session-file", self.write(ID.encode()), "--session", ID), {}, "one id"),
            ((*place, "--user", "alice", "--session-file", "-", "--password-file", "-"), {}, "one of"),
            ((*place, "--user", "alice"), {}, "TCPSUITE_PASSWORD"),
            ((*place, "--user", "a b"), {"TCPSUITE_PASSWORD": "x"}, "'a b'"),
            ((*place, "--user", "alice", "--password-file", self.write(b"\xff\n")), {}, "not UTF-8"),
            ((*place, "--user", "alice", "--password-file", self.write(b"\n")), {}, "a password of one line"),
            ((*place, "--password-file", "x"), {}, "--user"),
            (("10.0.0.1:1", *place[1:], "--user", "alice"), {}, "--allow-plaintext"),
            (("mux:tcp:10.0.0.1:1", *place[1:], "--user", "alice"), {}, "--allow-plaintext"),
            (("mux:mux:tcp:10.0.0.1:1", *place[1:], "--user", "alice"), {}, "--allow-plaintext"),
        ):
            self.assertIn(why, self.refused(*words, **env))


def test_impossible_session() -> None:
    """What can be no session's id is refused before anything listens."""
    result = CliRunner().invoke(main, ["attach", "h:1", "--listen", "0", "--session", "x"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "a session's id" in result.stderr


def test_port_in_use(tmp_path: Path) -> None:
    """What cannot be listened on is told, with status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = (*COMMAND, "h:1", "--listen", str(port))
        with Program(*words, log=tmp_path / "log") as program:
            assert program.wait() == 1
            assert program.output == f"Error: tcp:{port}:interface=127.0.0.1: address already in use\n"


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_start_and_end(tmp_path: Path, number: int) -> None:
    """It says where it listens, waits for a suite that is away, and ends with status 0 when told."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with Attach(port, tmp_path).started() as attach:
        with socket.create_connection(("127.0.0.1", attach.port)) as program:
            wait_until(lambda: attach.told, "that nobody is there is told")
            assert attach.told == ["connection 1: connection refused; trying for 2m"]
            assert attach.end(number) == 0  # type: ignore[arg-type]
            with pytest.raises(ConnectionResetError):
                program.recv(1)
        assert len(attach.told) == 1


def test_prompt(tmp_path: Path) -> None:
    """On a terminal the password is asked for, and not shown."""
    ours, theirs = os.openpty()
    words = (*COMMAND, "127.0.0.1:1", "--listen", "0", "--user", "alice")
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as tool:
        os.close(theirs)
        shown = b""
        while b"listening on" not in shown:
            shown += os.read(ours, 1000)
            if shown.endswith(b"Password: "):
                os.write(ours, b"open sesame\n")
        tool.terminate()
        assert tool.wait(PATIENCE) == 0
    os.close(ours)
    assert b"sesame" not in shown


def test_unix_socket(tmp_path: Path) -> None:
    """A UNIX socket is for this user alone, and goes with the process."""
    place = tmp_path / "here"
    with Program(*COMMAND, "h:1", "--listen", f"unix:{place}", log=tmp_path / "log") as program:
        program.ready(lambda: f"listening on unix:{place}\n" in program.output, "it listened")
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert program.end() == 0
    assert not place.exists()

"""Tests for ``tcpsuite check`` and ``tcpsuite show-config``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite import __version__
from tcpsuite.cli import main
from tests.config.support import ECHO, Folder

CHECKOUT = Path(__file__).parents[2]


def invoke(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """The command, called in this process."""
    return CliRunner().invoke(main, arguments, env=env)


def tcpsuite(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, as a user calls it."""
    return subprocess.run(
        [sys.executable, "-m", "tcpsuite", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )


class CheckTests(SynchronousTestCase):
    """Verifying a file."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def test_good(self) -> None:
        """A good file is summed up in a line; the exit status is 0."""
        path = self.folder.write(ECHO + "[limits]\nconnections = 100\n")
        result = invoke("check", path)
        self.assertEqual((result.exit_code, result.stderr), (0, ""))
        self.assertEqual(result.stdout, f"{path}: good: 1 listener, 0 upstreams, 0 warnings\n")

    def test_faults(self) -> None:
        """Every fault is a line on standard error; the exit status is 1."""
        path = self.folder.write(ECHO.replace("endpoint", "endpont"))
        result = invoke("check", path)
        self.assertEqual((result.exit_code, result.stdout), (1, ""))
        self.assertEqual(
            result.stderr,
            f"{path}:2: listener.echo.endpoint: required, and not given\n"
            f"{path}:3: listener.echo.endpont: unknown option; did you mean endpoint?\n",
        )

    def test_warnings(self) -> None:
        """What is doubted or missing is said on standard error, and does not change the exit status."""
        path = self.folder.write(ECHO + '[limits]\nconnections = 50\n[auth]\npasswords = "none"\n')
        result = invoke("check", path)
        self.assertEqual(result.exit_code, 0)
        self.assertIn("1 listener, 0 upstreams, 2 warnings", result.stdout)
        words = [line.split(": ", 2)[:2] for line in result.stderr.splitlines()]
        self.assertEqual(words, [["warning", f"{path}:8"], ["warning", f"{path}:2"]])

    def test_broken(self) -> None:
        """A password file that no start could use is a fault, and does not keep the file from being shown."""
        path = self.folder.write(ECHO + '[auth]\npasswords = "users"\n')
        users = self.folder.write("nonsense\n", "users")
        result = invoke("check", path)
        self.assertEqual((result.exit_code, result.stdout), (1, ""))
        self.assertIn(f": auth.passwords: {users}:1: expected user:scrypt", result.stderr)
        self.assertEqual(invoke("show-config", path).exit_code, 0)

    def test_settings_and_environment(self) -> None:
        """What goes over the file is checked with it."""
        path = self.folder.write(ECHO)
        result = invoke(
            "check", path, "--set", "listener.echo.service=ecko", env={"TCPSUITE__LIMITS__X": "1"}
        )
        self.assertEqual(result.exit_code, 1)
        self.assertIn(
            "--set: listener.echo.service: expected the name of a service, got 'ecko'", result.stderr
        )
        self.assertIn("TCPSUITE__LIMITS__X: limits.x: unknown option", result.stderr)

    def test_usage(self) -> None:
        """A command line that is wrong is told; the exit status is 2."""
        for arguments in (("check",), ("chek", "x"), ("check", "x", "--bogus"), ("show-config", "a", "b")):
            result = invoke(*arguments)
            self.assertEqual(result.exit_code, 2, arguments)
            self.assertIn("Usage: ", result.stderr)

    def test_process(self) -> None:
        """As a process: 0 for what lies in etc/, 1 for a file that is not there; never a traceback."""
        for file in ("etc/tcpsuite.toml", "etc/examples/redis.toml"):
            done = tcpsuite("check", file)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(done.stdout.startswith(f"{file}: good: "), done.stdout)
        done = tcpsuite("check", "etc/none.toml")
        self.assertEqual(
            (done.returncode, done.stdout, done.stderr),
            (1, "", "etc/none.toml: expected a file that can be read, got No such file or directory\n"),
        )

    def test_no_reactor(self) -> None:
        """Checking a file chooses no reactor and starts nothing."""
        program = (
            "import sys; from tcpsuite.cli import main;"
            "main(['check', 'etc/tcpsuite.toml'], standalone_mode=False);"
            "assert 'twisted.internet.reactor' not in sys.modules"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)


class ShowConfigTests(SynchronousTestCase):
    """Printing what is in force."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def test_file(self) -> None:
        """A file with what goes over it, as TOML."""
        path = self.folder.write(ECHO)
        result = invoke("show-config", path, "--set", "drain_timeout=5m")
        self.assertEqual(result.exit_code, 0)
        self.assertEqual(tomllib.loads(result.stdout)["drain_timeout"], "5m")
        self.assertIn(f'service = "echo"  # {path}:4\n', result.stdout)

    def test_demonstration(self) -> None:
        """Without a file: the demonstration."""
        result = invoke("show-config")
        self.assertEqual(result.exit_code, 0)
        self.assertEqual(tomllib.loads(result.stdout)["listener"]["gateway"]["service"], "gateway")

    def test_faults(self) -> None:
        """A file with faults is not shown; the faults are."""
        result = invoke("show-config", self.folder.write("a = 1\n"))
        self.assertEqual((result.exit_code, result.stdout), (1, ""))
        self.assertIn("x.toml:1: a: unknown option", result.stderr)

    def test_terminal(self) -> None:
        """At a terminal it is coloured, and nothing of a long line is lost."""
        path = self.folder.write(ECHO)
        ours, theirs = os.openpty()
        environ = {**os.environ, "TERM": "xterm", "COLUMNS": "40"}
        command = [sys.executable, "-m", "tcpsuite", "show-config", path]
        with subprocess.Popen(command, cwd=CHECKOUT, stdout=theirs, env=environ) as process:
            os.close(theirs)
            shown = b""
            try:
                while data := os.read(ours, 65536):
                    shown += data
            except OSError:
                pass  # how a terminal whose other end is closed says that there is no more
        os.close(ours)
        self.assertEqual(process.returncode, 0)
        self.assertIn(b"\x1b[", shown)
        plain = re.sub(rb"\x1b\[[0-9;]*m|\s", b"", shown).decode()
        self.assertIn(f'service="echo"#{path}:4'.replace(" ", ""), plain)


class CommandTests(SynchronousTestCase):
    """The command itself."""

    def test_version(self) -> None:
        """It tells its version."""
        self.assertEqual(tcpsuite("--version").stdout, f"tcpsuite, version {__version__}\n")

    def test_help(self) -> None:
        """Its help lists what it can do."""
        text = invoke("--help").stdout
        for command in ("run", "check", "show-config", "passwd", "manhole"):
            self.assertIn(f"\n  {command} ", text)
            self.assertEqual(invoke(command, "--help").exit_code, 0)

    def test_run_and_twistd_agree(self) -> None:
        """tcpsuite run hands what it does not know to twistd, which says what it does not know either."""
        done = tcpsuite("run", "--bogus")
        self.assertEqual(done.returncode, 2)
        self.assertIn("option --bogus not recognized", done.stderr)
        self.assertIn("twistd", tcpsuite("run", "--version").stdout)


class StartTests(SynchronousTestCase):
    """Starts that cannot be."""

    def setUp(self) -> None:
        self.folder = Folder(self)

    def start(self, text: str, *arguments: str, option: str = "--config=") -> str:
        path = self.folder.write(text)
        done = tcpsuite("run", f"{option}{path}", *arguments)
        self.assertEqual(done.returncode, 1)
        self.assertNotIn("Traceback", done.stdout + done.stderr)
        return done.stderr.replace(self.folder.path + os.sep, "")

    def test_faults(self) -> None:
        """Faults are said before anything else happens."""
        self.assertEqual(
            self.start(ECHO, "--set=listener.echo.service=ecko", "--set", "x=1"),
            "--set: listener.echo.service: expected the name of a service, got 'ecko'; did you mean echo?\n"
            "--set: x: unknown option\n",
        )

    def test_file_as_an_argument(self) -> None:
        """The file may be named as it is to check, before what is meant for twistd; there is only one."""
        fault = "x.toml:1: x: unknown option\n"
        self.assertEqual(self.start("x = 1\n", "--logfile=-", option=""), fault)
        self.assertEqual(self.start("x = 1\n", option="-c"), fault)
        done = tcpsuite("run", "--config=a.toml", "b.toml")
        self.assertEqual(done.returncode, 2)
        self.assertIn("one file, not a.toml and b.toml", done.stderr)

    def test_missing(self) -> None:
        """What only warns when a file is checked stops a start: a root that does not exist."""
        self.assertEqual(
            self.start('[listener.web]\nendpoint = "tcp:0"\nservice = "files"\nroot = "www"\n'),
            "x.toml:4: listener.web.root: www does not exist\n",
        )

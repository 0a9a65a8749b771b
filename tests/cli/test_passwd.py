"""Tests for ``tcpsuite passwd``."""

from __future__ import annotations

import os
import subprocess
import sys

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.cli import main
from tcpsuite.core.passwords import parse_passwords


class PasswdTests(SynchronousTestCase):
    """Giving a user a password."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())

    def passwd(self, user: str, typed: str | bytes) -> Result:
        return CliRunner().invoke(main, ["passwd", self.path, user], input=typed)

    def test_new_and_changed(self) -> None:
        """A user is added, or the password is changed; the file is for nobody else to read."""
        result = self.passwd("ann", "first one\n")
        self.assertEqual((result.exit_code, result.stdout), (0, f"ann: added to {self.path}\n"))
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)
        self.assertEqual(self.passwd("bob", "of bob\n").exit_code, 0)
        self.assertEqual(self.passwd("ann", "second one\n").stdout, f"ann: changed in {self.path}\n")
        with open(self.path) as file:
            users = parse_passwords(file.read())
        self.assertEqual(list(users), ["ann", "bob"])
        self.assertTrue(users["ann"].matches("second one"))
        self.assertFalse(users["ann"].matches("first one"))
        self.assertTrue(users["bob"].matches("of bob"))

    def test_refused(self) -> None:
        """No password, no such user's name, no such folder: told, and nothing is written."""
        self.assertEqual(self.passwd("ann", "\n").exit_code, 2)
        result = self.passwd("a:b", "x\n")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("'a:b'", result.stderr)
        self.assertFalse(os.path.exists(self.path))
        self.path = os.path.join(self.path, "none")
        result = self.passwd("ann", "x\n")
        self.assertEqual(result.exit_code, 1)
        self.assertIn(self.path, result.stderr)

    def test_ends_of_lines(self) -> None:
        """The line's end is no part of the password, as LF or as CR LF; spaces are."""
        for typed in (b" a b ", b" a b \n", b" a b \r\n", b" a b \r\nmore"):
            self.assertEqual(self.passwd("ann", typed).exit_code, 0)
            with open(self.path) as file:
                self.assertTrue(parse_passwords(file.read())["ann"].matches(" a b "), typed)

    def test_no_password(self) -> None:
        """What is no text, or too long for a login, is refused in a line."""
        for typed in (b"caf\xe9\n", b"x" * 100_000, b"\r\n", b"a\r\r\n"):
            result = self.passwd("ann", typed)
            self.assertIn(result.exit_code, (1, 2))
            self.assertIsInstance(result.exception, SystemExit)
            self.assertIn("password", result.stderr)
        self.assertFalse(os.path.exists(self.path))

    def test_no_ordinary_file(self) -> None:
        """A pipe is refused at once, and a folder."""
        os.mkfifo(self.path)
        self.assertIn("no ordinary file", self.passwd("ann", "x\n").stderr)
        self.path = os.path.dirname(self.path)
        self.assertIn("Is a directory", self.passwd("ann", "x\n").stderr)

    def test_not_a_password_file(self) -> None:
        """A file that is something else is left as it is."""
        with open(self.path, "w") as file:
            file.write("dear diary\n")
        result = self.passwd("ann", "x\n")
        self.assertEqual(result.exit_code, 1)
        self.assertIn(f"{self.path}", result.stderr)
        with open(self.path) as file:
            self.assertEqual(file.read(), "dear diary\n")

    def test_terminal(self) -> None:
        """At a terminal it asks twice, until both are the same, and shows nothing of it."""
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "tcpsuite", "passwd", self.path, "ann"],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            cwd=os.path.dirname(os.path.dirname(os.path.dirname(__file__))),
        )  # fmt: skip
        os.close(theirs)
        shown = b""
        try:
            for prompt, answer in (
                (b"Password: ", b"one\n"),
                (b"confirmation: ", b"other\n"),
                (b"Password: ", b"one\n"),
                (b"confirmation: ", b"one\n"),
                (b"ann: added to ", b""),
            ):
                told = b""
                while prompt not in told:
                    told += os.read(ours, 1024)
                shown += told
                os.write(ours, answer)
            self.assertEqual(process.wait(30), 0)
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        self.assertNotIn(b"one\r", shown)
        with open(self.path) as file:
            self.assertTrue(parse_passwords(file.read())["ann"].matches("one"))

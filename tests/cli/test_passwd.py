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

    def passwd(self, user: str, typed: str) -> Result:
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

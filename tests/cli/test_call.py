"""Tests for ``tcpsuite call``: its command line."""

from __future__ import annotations

import os

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.cli import call as module
from tcpsuite.cli import main


class CommandLineTests(SynchronousTestCase):
    """What is asked, for each command line; and why it is refused."""

    def setUp(self) -> None:
        self.asked: list[tuple[object, ...]] = []

        def ask(*what: object) -> bytes:
            self.asked.append(what)
            return b"\xff answer"

        self.patch(module, "_ask", ask)

    def ask(self, *words: str, typed: bytes = b"") -> tuple[object, ...]:
        """What is asked; the answer is printed as it is."""
        result = CliRunner().invoke(main, ["call", *words], input=typed)
        self.assertEqual((result.exit_code, result.stdout_bytes), (0, b"\xff answer"))
        return self.asked.pop()

    def refuse(self, *words: str) -> str:
        """Why nothing is."""
        result = CliRunner().invoke(main, ["call", *words])
        self.assertEqual((result.exit_code, self.asked), (2, []), result.output)
        why: str = result.stderr
        return why

    def write(self, data: bytes) -> str:
        """The name of a file that holds this."""
        name: str = os.path.abspath(self.mktemp())
        with open(name, "wb") as file:
            file.write(data)
        return name

    def test_asked(self) -> None:
        """A method without a body, or with one; for as long as is said."""
        self.assertEqual(self.ask("h:1", "time"), ("tcp:h:1", "time", b"", 30.0, False))
        self.assertEqual(
            self.ask("mux:tcp:h:1", "echo", "hé", "--timeout", "1m", "--repeat"),
            ("mux:tcp:h:1", "echo", "hé".encode(), 60.0, True),
        )

    def test_files(self) -> None:
        """A body may lie in a file, or come on stdin."""
        name = self.write(b"\0\xff")
        self.assertEqual(self.ask("h:1", "echo", f"@{name}")[2], b"\0\xff")
        self.assertEqual(self.ask("h:1", "echo", "@-", typed=b"typed")[2], b"typed")

    def test_refused(self) -> None:
        """What cannot be asked is refused before anything is connected to."""
        self.assertIn("ENDPOINT", self.refuse("nonsense", "echo"))
        self.assertIn("METHOD", self.refuse("h:1", ""))
        self.assertIn("No such file", self.refuse("h:1", "echo", "@/no/such/file"))
        self.assertIn("--timeout", self.refuse("h:1", "echo", "--timeout", "soon"))
        self.patch(module, "LONGEST", 3)
        self.assertIn("longer than 3 bytes", self.refuse("h:1", "echo", "@" + self.write(b"four")))

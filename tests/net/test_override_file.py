"""The file of overrides, while it changes."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.limits import NO_OVERRIDES, ResourceLimiter, parse_overrides
from tcpsuite.errors import StartError
from tcpsuite.net.override_file import LARGEST, LOOK_INTERVAL, OverrideFile, read_overrides

GOOD = "192.0.2.0/24 connections_per_ip=1\n"


class OverrideFileTests(SynchronousTestCase):
    """A file that is there when it is begun with."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.write(GOOD)
        self.clock: Any = Clock()
        self.told: list[Any] = []
        self.file = self.make()
        self.logged: list[str] = []
        note: Any = self.note
        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)

    def note(self, event: Any) -> None:
        if event["log_namespace"].endswith("OverrideFile"):
            self.logged.append(event["log_format"].format(**event))

    def write(self, text: str) -> None:
        with open(self.path, "w") as file:
            file.write(text)

    def make(self, in_thread: Any = execute) -> OverrideFile:
        """The file, loaded, and looked at while the clock goes on."""
        file = OverrideFile(self.path, self.clock, in_thread)
        file.tell(self.told.append)
        file.load()
        file.start()
        self.addCleanup(file.stop)
        return file

    def test_loaded(self) -> None:
        """What it says is in force from the start, and nobody is told before it changes."""
        self.assertEqual(self.file.overrides, parse_overrides(GOOD))
        self.clock.advance(LOOK_INTERVAL)
        self.assertEqual((self.told, self.logged), ([], []))

    def test_changed(self) -> None:
        """A change is told within a second: a limiter then goes by it."""
        limiter = ResourceLimiter(overrides=self.file.overrides)
        self.file.tell(lambda overrides: setattr(limiter, "overrides", overrides))
        self.assertEqual([limiter.admit("192.0.2.1", 0.0).allowed for _ in range(2)], [True, False])
        self.write("192.0.2.0/24 connections_per_ip=2\n# more\n")
        self.clock.advance(LOOK_INTERVAL)
        self.assertEqual([limiter.admit("192.0.2.1", 0.0).allowed for _ in range(2)], [True, False])
        self.assertEqual(self.logged, [f"overrides of limits by {self.path}: 1 in force now"])

    def test_faulty(self) -> None:
        """One with faults changes nothing; the log tells all of them, once; when mended it counts."""
        self.write("x\ny\n")
        self.clock.pump([LOOK_INTERVAL] * 3)
        self.assertEqual(self.file.overrides, parse_overrides(GOOD))
        (line,) = self.logged
        self.assertIn(f"stay as they were: {self.path}: line 1: expected a network", line)
        self.assertIn(f"\n{self.path}: line 2: ", line)
        self.write("")
        self.clock.advance(LOOK_INTERVAL)
        self.assertEqual((self.file.overrides, self.told), (NO_OVERRIDES, [NO_OVERRIDES]))

    def test_gone(self) -> None:
        """One that is gone changes nothing either."""
        os.remove(self.path)
        self.clock.pump([LOOK_INTERVAL] * 3)
        self.assertEqual(self.file.overrides, parse_overrides(GOOD))
        self.assertEqual(
            self.logged,
            [f"the overrides of limits stay as they were: {self.path}: No such file or directory"],
        )

    def test_unexpected(self) -> None:
        """Whatever goes wrong with one change, the next is seen."""
        self.file.stop()
        outcomes = [fail(RuntimeError("no threads")), succeed(NO_OVERRIDES)]
        file = self.make(lambda work: outcomes.pop(0))
        self.write("")
        self.clock.pump([LOOK_INTERVAL] * 3)
        self.assertEqual(file.overrides, parse_overrides(GOOD))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertIn("stay as they were, by a fault of ours", self.logged[0])
        self.write(GOOD * 2)
        self.clock.advance(LOOK_INTERVAL)
        self.assertEqual(self.told, [NO_OVERRIDES])

    def test_slow(self) -> None:
        """While it is read, it is not read once more."""
        self.file.stop()
        reading: list[Deferred[Any]] = []

        def later(work: Any) -> Deferred[Any]:
            reading.append(Deferred())
            return reading[-1]

        file = self.make(later)
        self.write("")
        self.clock.advance(LOOK_INTERVAL)
        self.write(GOOD * 2)
        self.clock.pump([LOOK_INTERVAL] * 5)
        self.assertEqual(len(reading), 1)
        reading[0].callback(NO_OVERRIDES)
        self.clock.advance(LOOK_INTERVAL)
        self.assertEqual((len(reading), repr(file)), (2, f"<OverrideFile {self.path} lines=0>"))

    def test_unreadable(self) -> None:
        """What is no text, no file, or far too large is refused before it is taken in."""
        self.write("#" * (LARGEST + 1))
        for path, text in (
            (self.path, f"{self.path}: it has more than {LARGEST} bytes"),
            ("/nonexistent/x", "/nonexistent/x: No such file or directory"),
            ("/dev/null", "/dev/null: it is no ordinary file"),
        ):
            self.assertEqual(str(self.assertRaises(StartError, read_overrides, path)), text)
        with open(self.path, "wb") as file:
            file.write(b"\xff")
        self.assertEqual(
            str(self.assertRaises(StartError, read_overrides, self.path)), f"{self.path}: it is not UTF-8"
        )

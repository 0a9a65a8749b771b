"""The comparison notices a test that fails, is skipped, hangs or is not there on one of two reactors."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from tests.conformance.comparing import Result, Results, run

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

STOCK = Results("epoll", {"a": Result("passed"), "b": Result("failed", "as root")})


class FaultsTests(SynchronousTestCase):
    """What is a fault, and what is none."""

    def faults(self, *here: Result, said: str = "") -> list[str]:
        """Of a run in which these came of the first tests."""
        return Results("ours", dict(zip("ab", here, strict=False)), said=said).faults(STOCK)

    def test_none(self):
        """What fails on stock too is no fault, and neither is a test that fails on stock alone."""
        self.assertEqual(self.faults(Result("passed"), Result("failed")), [])
        self.assertEqual(self.faults(Result("passed"), Result("passed")), [])

    def test_failed(self):
        """A test that passes on stock alone is a fault, shown with its traceback."""
        self.assertEqual(
            self.faults(Result("failed", "Traceback: …")),
            ["a: passed on epoll, failed on ours\nTraceback: …"],
        )

    def test_skipped(self):
        """So is one that is skipped; the reason is told."""
        self.assertEqual(
            self.faults(Result("skipped", "not like the others")),
            ["a: passed on epoll, skipped on ours\nnot like the others"],
        )

    def test_absent(self):
        """So are those that were not run; what the process said last is shown."""
        self.assertEqual(
            self.faults(said="NoSuchReactor"),
            [
                "1 that pass on epoll never began, the first is a",
                "The last words of the process:\nNoSuchReactor",
            ],
        )

    def test_unfinished(self):
        """So is one in which the process ended, with the same."""
        self.assertEqual(
            self.faults(Result("never ended"), said="Timeout!"),
            ["a: passed on epoll, never ended on ours", "The last words of the process:\nTimeout!"],
        )


def test_runs_on_each_reactor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process has its reactor, in both kinds of tests; outcomes and reasons are written down under names
    without the reactor's; a process that ends in the middle, or takes too long, leaves what it had.
    """
    (tmp_path / "theirs.py").write_text(THEIRS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    poll, epoll = run(["poll", "epoll"], ["theirs"], tmp_path, at_most=60, each=20)
    assert epoll.tests["theirs.Builder.test_built"].outcome == "passed"
    assert epoll.tests["theirs.Case.test_installed"].outcome == "passed"
    assert epoll.tests["theirs.Case.test_skipped"] == Result("skipped", "a reason")
    assert epoll.tests["theirs.Case.test_todo"].outcome == "failed as expected"
    assert epoll.tests["theirs.Last.test_last"].outcome == "passed"

    assert poll.tests["theirs.Builder.test_built"].outcome == "failed"
    assert "'PollReactor' != 'EPollReactor'" in poll.tests["theirs.Builder.test_built"].why
    assert "'PollReactor' != 'EPollReactor'" in poll.tests["theirs.Case.test_installed"].why
    assert poll.tests["theirs.Ender.test_ends"].outcome == "never ended"
    assert "theirs.Last.test_last" not in poll.tests
    assert "last words" in poll.said


def test_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that no time-out reaches ends its process, which shows where that test was."""
    (tmp_path / "theirs.py").write_text(ENDLESS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (endless,) = run(["epoll"], ["theirs"], tmp_path, at_most=60, each=0.5)
    assert endless.tests == {
        "theirs.Case.test_a": Result("passed"),
        "theirs.Case.test_endless": Result("never ended"),
    }
    assert "in test_endless" in endless.said


def test_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time is up the processes are gone, whatever they were doing."""
    (tmp_path / "theirs.py").write_text(ENDLESS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    began = time.monotonic()
    (unfinished,) = run(["epoll"], ["theirs"], tmp_path, at_most=0.5, each=60)
    assert time.monotonic() - began < 30
    assert unfinished.count().keys() <= {"passed", "never ended"}
    assert unfinished.count()["passed"] <= 1


THEIRS = """
import os
import sys

from twisted.internet import reactor
from twisted.internet.test.reactormixins import ReactorBuilder
from twisted.trial.unittest import SynchronousTestCase


class Builder(ReactorBuilder):
    def test_built(self):
        self.assertEqual(type(self.buildReactor()).__name__, "EPollReactor")

globals().update(Builder.makeTestCaseClasses())


class Case(SynchronousTestCase):
    def test_installed(self):
        self.assertEqual(type(reactor).__name__, "EPollReactor")

    def test_skipped(self):
        pass

    test_skipped.skip = "a reason"

    def test_todo(self):
        self.fail()

    test_todo.todo = "not yet"


class Ender(SynchronousTestCase):
    def test_ends(self):
        if type(reactor).__name__ == "PollReactor":
            print("last words", flush=True)
            os._exit(1)


class Last(SynchronousTestCase):
    def test_last(self):
        pass
"""

ENDLESS = """
import time

from twisted.trial.unittest import SynchronousTestCase


class Case(SynchronousTestCase):
    def test_a(self):
        pass

    def test_endless(self):
        while True:
            time.sleep(1)
"""

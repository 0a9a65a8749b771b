"""Runs Twisted's own tests on one reactor, in a process of its own, and writes down how each of them went.

``python -m tests.conformance.recording REACTOR FOLDER SECONDS NAME...``: the reactor by its plugin's name, a
folder to work in, how long a test may take, and the packages, modules or cases as trial takes them.  The
reactor is installed for those tests that take what they find, and is the one that the tests of
`ReactorBuilder` build.
"""

from __future__ import annotations

import faulthandler
import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from twisted.application.reactors import installReactor
from twisted.trial import util
from twisted.trial.reporter import TestResult

if TYPE_CHECKING:
    from collections.abc import Iterator
    from unittest import TestCase

RECORD = "record.jsonl"
"""The file in the folder: a line when a test begins, and one that says how it went."""

HANGS = 2.5
"""So many times as long as any test may take, and the process is ended, with a traceback on stderr."""

UNDETECTABLE = {
    "test_fdset.ReactorFDSetTestsBuilder.test_lostFileDescriptor": "epoll drops without a word what is closed"
    " under it, so there is nothing to notice; the test skips the stock reactor by the name of its class",
}
"""What is skipped in ``twisted.internet.test`` on every reactor, and why."""


class Recorder(TestResult):
    """Writes a line for each test: as soon as one has ended, so that a crash loses none."""

    def __init__(self, record: TextIO, reactor_name: str, seconds: float) -> None:
        super().__init__()
        self._record = record
        self._hangs = HANGS * seconds
        self._stderr = sys.stderr
        self._suffix = f"_{reactor_name}Tests"
        self._outcome, self._why = "", ""

    def name(self, test: TestCase) -> str:
        """A test's name on every reactor: a built case bears that of its reactor's class."""
        return test.id().replace(self._suffix, "")

    def startTest(self, test: Any) -> None:
        super().startTest(test)
        self._outcome, self._why = "", ""
        self._write({"test": self.name(test)})
        # On the first stderr: some tests leave another one behind.
        faulthandler.dump_traceback_later(self._hangs, exit=True, file=self._stderr)

    def stopTest(self, test: Any) -> None:
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)
        self._write({"test": self.name(test), "outcome": self._outcome, "why": self._why})

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self._note("passed")

    def addError(self, test: Any, error: Any) -> None:
        super().addError(test, error)
        self._note("failed", self._getFailure(error).getTraceback())

    def addFailure(self, test: Any, fail: Any) -> None:
        super().addFailure(test, fail)
        self._note("failed", self._getFailure(fail).getTraceback())

    def addSkip(self, test: Any, reason: Any) -> None:
        super().addSkip(test, reason)
        self._note("skipped", str(reason))

    def addExpectedFailure(self, test: Any, failure: Any, todo: Any = None) -> None:
        super().addExpectedFailure(test, failure, todo)
        self._note("failed as expected", str(todo))

    def addUnexpectedSuccess(self, test: Any, todo: Any = None) -> None:
        super().addUnexpectedSuccess(test, todo)
        self._note("passed unexpectedly", str(todo))

    def done(self) -> None:
        """The runner calls this at the end; all is written already."""

    def _note(self, outcome: str, why: str = "") -> None:
        if self._outcome != "failed":
            self._outcome = outcome
        self._why += why

    def _write(self, entry: dict[str, str]) -> None:
        self._record.write(json.dumps(entry) + "\n")
        self._record.flush()


def cases(suite: Any) -> Iterator[Any]:
    """The tests of a suite, and of the suites in it."""
    try:
        parts = iter(suite)
    except TypeError:
        yield suite
    else:
        for part in parts:
            yield from cases(part)


def main() -> None:
    """Run the tests that the command line names."""
    arguments = ArgumentParser()
    arguments.add_argument("reactor")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("seconds", type=float)
    arguments.add_argument("names", nargs="+")
    told = arguments.parse_args()

    reactor_class = type(installReactor(told.reactor))
    util.DEFAULT_TIMEOUT_DURATION = told.seconds  # before the next line copies it
    from twisted.internet.test.reactormixins import ReactorBuilder
    from twisted.trial.runner import TestLoader, TrialRunner

    # Classes are made for these as the modules with tests are imported.
    ReactorBuilder._reactors = [f"{reactor_class.__module__}.{reactor_class.__qualname__}"]

    with (told.folder / RECORD).open("w") as record:
        recorder = Recorder(record, reactor_class.__name__, told.seconds)
        suite = TestLoader().loadByNames(told.names, recurse=True)
        for case in cases(suite):
            if reason := UNDETECTABLE.get(recorder.name(case).removeprefix("twisted.internet.test.")):
                case.skip = reason
        TrialRunner(lambda *_: recorder, workingDirectory=str(told.folder / "work")).run(suite)


if __name__ == "__main__":
    main()

"""Runs the same tests on several reactors at once, and says what one fails that another passes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING, Self

from attrs import field, frozen

from tests.conformance.recording import RECORD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHECKOUT = Path(__file__).parents[2]

SHOWN = 4000
"""How much of the end of a process's output is shown, in characters: a traceback of all threads fits."""


@frozen
class Result:
    """How a test went, in one word or two, and why: a traceback, or the reason of a skip."""

    outcome: str
    why: str = ""


NEVER_ENDED = "never ended"


@frozen
class Results:
    """How the tests went on one reactor, and what their process said."""

    reactor: str
    tests: Mapping[str, Result]
    seconds: float = 0.0
    said: str = field(default="", repr=False)

    def count(self) -> Counter[str]:
        """How many tests there are of each outcome."""
        return Counter(each.outcome for each in self.tests.values())

    def faults(self, stock: Results) -> list[str]:
        """Each test that passes on ``stock`` and not here: its name, what it did, and why."""
        wanted = [name for name, there in stock.tests.items() if there.outcome == "passed"]
        faults = [
            f"{name}: passed on {stock.reactor}, {here.outcome} on {self.reactor}\n{here.why}".rstrip()
            for name in wanted
            if (here := self.tests.get(name)) and here.outcome != "passed"
        ]
        # After a crash these are many, with one cause.
        if absent := [name for name in wanted if name not in self.tests]:
            faults.append(f"{len(absent)} that pass on {stock.reactor} never began, the first is {absent[0]}")
        if absent or NEVER_ENDED in self.count():
            faults.append(f"The last words of the process:\n{self.said}".rstrip())
        return faults


class _Recording:
    """A process that runs the tests on one reactor.  Behind its context it is gone, with its children."""

    def __init__(self, reactor: str, names: Sequence[str], folder: Path, each: float) -> None:
        self._reactor, self._folder = reactor, folder
        self._folder.mkdir()
        self._began = time.monotonic()
        with (folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.conformance.recording",
                    reactor,
                    str(folder),
                    str(each),
                    *names,
                ],
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, SIGKILL)
        self._process.wait()

    def results(self, deadline: float) -> Results:
        """How the tests went that ended before ``deadline``, a monotonic time."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        seconds = time.monotonic() - self._began
        tests: dict[str, Result] = {}
        record = self._folder / RECORD
        for line in record.read_text().splitlines() if record.exists() else ():
            entry = json.loads(line)
            tests[entry["test"]] = Result(entry.get("outcome", NEVER_ENDED), entry.get("why", ""))
        said = (self._folder / "output").read_text(errors="replace")
        return Results(self._reactor, tests, seconds, said[-SHOWN:])


def run(
    reactors: Sequence[str], names: Sequence[str], folder: Path, *, at_most: float, each: float
) -> list[Results]:
    """Run the tests of these names on each reactor, side by side.

    :param reactors: by the names of their plugins.
    :param names: as trial takes them.
    :param folder: an empty one to work in.
    :param at_most: seconds for all of them; what has not ended then is ended.
    :param each: seconds until a test fails whose reactor still runs.
    """
    deadline = time.monotonic() + at_most
    with ExitStack() as running:
        recordings = [
            running.enter_context(_Recording(reactor, names, folder / reactor, each)) for reactor in reactors
        ]
        return [recording.results(deadline) for recording in recordings]

"""Which server each client had, in a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.affinity import StickTable
from tcpsuite.stores import affinity
from tcpsuite.stores.affinity import INTERVAL, NAME, STEP, VERSION, AffinityFile

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = json.dumps({"kind": "tcpsuite affinity", "version": VERSION})
ANN, BEN = "192.0.2.1", "2001:db8::1"


class Process:
    """A process with two upstreams, whose clock begins where it may; its thread is at once done."""

    def __init__(self, folder: str, began: float, wall: float, timeout: float = 1800.0) -> None:
        self.clock = Clock()
        self.clock.advance(began)
        self.offset = wall - began
        self.tables = {"db": StickTable(timeout), "web": StickTable(timeout)}
        self.threads = 0
        self.file = AffinityFile(folder, self.tables, self.clock, self.in_thread, self.wall)

    def wall(self) -> float:
        return self.clock.seconds() + self.offset

    def in_thread(self, function: Callable[[], object]) -> Deferred[Any]:
        self.threads += 1
        return maybeDeferred(function)

    def lead(self, client: str, server: str, upstream: str = "db") -> None:
        self.tables[upstream].lead(client, server, self.clock.seconds())

    def home(self, client: str, upstream: str = "db") -> str | None:
        return self.tables[upstream].find(client, self.clock.seconds())

    def turn(self) -> None:
        """The reactor turns once: a clock that is advanced goes on while there is anything to do."""
        call: Any = self.clock.getDelayedCalls()[0]
        function, arguments = call.func, call.args
        call.cancel()
        function(*arguments)

    def open(self) -> list[str]:
        """Open the file; what is warned of."""
        with capturedLogs() as events:
            self.file.open()
        return [formatEvent(each) for each in events if each["log_level"] is LogLevel.warn]


class AffinityFileTests(SynchronousTestCase):
    """A process and its next."""

    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(self.folder)
        self.path = Path(self.folder, NAME)

    def process(self, began: float = 5.0, wall: float = 1_000_000.0, **options: float) -> Process:
        """A process that has opened the file without a warning."""
        process = Process(self.folder, began, wall, **options)
        self.assertEqual(process.open(), [])
        process.file.start()
        return process

    def end(self, process: Process) -> None:
        """It ends as it should."""
        stopping = Deferred.fromCoroutine(process.file.stop())
        while process.clock.getDelayedCalls():
            process.clock.advance(0)
        self.successResultOf(stopping)
        self.assertEqual(repr(process.file), f"<AffinityFile {self.path} tables=2>")

    def test_survives(self) -> None:
        """Each upstream's clients are where they were, whatever the next process's clock says, for the rest
        of their time by the clock on the wall.
        """
        before = self.process()
        before.lead(ANN, "a")
        before.lead(ANN, "x", "web")
        before.clock.advance(700)
        before.lead(BEN, "b")
        self.end(before)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        after = self.process(began=90_000.0, wall=1_001_000.0)
        self.assertEqual([after.home(ANN), after.home(BEN), after.home(ANN, "web")], ["a", "b", "x"])
        after.clock.advance(799)
        self.assertEqual([after.home(ANN), after.home(BEN)], ["a", "b"])
        after.clock.advance(1)
        self.assertEqual([after.home(ANN), after.home(BEN)], [None, "b"])
        self.end(after)

    def test_open_connections(self) -> None:
        """Who has a connection when the file is written has had it up to then."""
        before = self.process()
        before.lead(ANN, "a")
        before.tables["db"].enter(ANN)
        before.clock.advance(9000)
        self.end(before)
        after = self.process(wall=1_009_000.0 + 1799)
        self.assertEqual(after.home(ANN), "a")
        self.end(after)

    def test_is_on_the_disk(self) -> None:
        """What was stored is on the disk under its name: first the file is, then the folder that names it."""
        synced: list[str] = []

        def sync(descriptor: int) -> None:
            synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            fsync(descriptor)

        fsync = os.fsync
        self.patch(os, "fsync", sync)
        first = self.process()
        first.lead(ANN, "a")
        self.end(first)
        self.assertEqual(synced, [f"{self.path}.new", self.folder])

    def test_killed(self) -> None:
        """A process that is killed has forgotten what there was in the last minute."""
        before = self.process()
        before.lead(ANN, "a")
        before.clock.pump([INTERVAL, 0, 0])
        before.lead(BEN, "b")
        assert before.file._claim is not None
        before.file._claim.release()
        before.file._loop.stop()
        after = self.process()
        self.assertEqual([after.home(ANN), after.home(BEN)], ["a", None])
        self.end(after)

    def test_in_steps(self) -> None:
        """A table of many clients is made ready in as many turns of the reactor, and is whole though it
        changes meanwhile; who is forgotten before his turn is left out.
        """
        before = self.process()
        for number in range(3 * STEP):
            before.lead(f"{number}", "a")
        stored = before.file.store()
        for number in range(3):
            self.assertEqual(before.threads, 0)
            before.lead(f"{number}", "b")
            before.lead(f"new {number}", "b")
            before.tables["db"].forget(f"{STEP + number}")
            before.turn()
        self.successResultOf(stored)
        self.assertEqual(before.threads, 1)
        lines = [json.loads(line) for line in self.path.read_bytes().splitlines()]
        self.assertEqual([len(line["clients"]) for line in lines[1:]], [STEP, STEP - 1, STEP])
        self.end(before)

    def test_what_is_over(self) -> None:
        """Those whose time is over are taken out before it is written, in steps too."""
        before = self.process(timeout=10.0)
        for number in range(2 * STEP):
            before.lead(f"{number}", "a")
        before.clock.advance(10)
        before.lead(ANN, "a")
        self.end(before)
        self.assertEqual(len(before.tables["db"]), 1)
        self.assertEqual(len(self.path.read_bytes().splitlines()), 2)

    def test_nobody(self) -> None:
        """Nothing is written as long as nobody is remembered; that all are gone is."""
        process = self.process()
        process.clock.pump([INTERVAL] * 3)
        self.assertEqual((process.threads, os.listdir(self.folder)), (0, [f"{NAME}.lock"]))
        process.lead(ANN, "a")
        process.clock.pump([INTERVAL, 0])
        process.tables["db"].clear()
        process.clock.pump([INTERVAL] * 3)
        self.assertEqual(process.threads, 2)
        self.assertEqual(self.path.read_text(), json.dumps(json.loads(HEAD), separators=(",", ":")) + "\n")
        self.end(process)
        again = self.process()
        self.end(again)
        self.assertEqual(again.threads, 0)

    def test_no_start(self) -> None:
        """A process that does not come to its start writes nothing, and the next one has the file."""
        for _ in range(2):
            process = Process(self.folder, 5.0, 1_000_000.0)
            self.assertEqual(process.open(), [])
            process.lead(ANN, "a")
            self.end(process)
            self.assertEqual(process.threads, 0)

    def test_clock_put_back(self) -> None:
        """Who was there in the future by the clock on the wall was there now."""
        before = self.process()
        before.lead(ANN, "a")
        self.end(before)
        after = self.process(wall=5.0)
        after.clock.advance(1799)
        self.assertEqual(after.home(ANN), "a")
        after.clock.advance(1)
        self.assertIsNone(after.home(ANN))
        self.end(after)

    def test_other_upstreams(self) -> None:
        """Clients of an upstream that there is no more are left out."""
        for upstream in ("gone", "db"):
            line = json.dumps({"upstream": upstream, "clients": [[ANN, upstream, 999_999]]})
            with self.path.open("a") as file:
                file.write(f"{HEAD}\n{line}\n" if upstream == "gone" else f"{line}\n")
        process = self.process()
        self.assertEqual((process.home(ANN), len(process.tables["web"])), ("db", 0))
        self.end(process)
        self.assertNotIn("gone", self.path.read_text())

    def test_no_good(self) -> None:
        """A file that is not ours, newer, cut or wrong is a warning; nobody is remembered, and it is kept
        under another name.
        """
        good = json.dumps({"upstream": "db", "clients": [[ANN, "a", 999_999]]})
        for text, why in (
            ("", "Expecting value"),
            ("users\n", "Expecting value"),
            ("[1]\n", "it is no file of tcpsuite's"),
            ('{"kind": "other", "version": 1}\n', "it is no file of tcpsuite's"),
            (HEAD.replace("1}", "2}"), "its version is 2; this tcpsuite knows 1"),
            ("x" * 10_000_000, "Expecting value"),
            ("[" * 900, "Expecting value"),
            ("\xff\n", "'utf-8' codec"),
            (f"{HEAD}\n{good}\n{good[:-9]}", "Expecting"),
            (f"{HEAD}\n{good}\n{'[' * 100_000}", "maximum recursion depth"),
            (f"{HEAD}\n{good}\n[]\n", "a line of it has no clients"),
            (f"{HEAD}\n{good}\n" + good.replace('"a"', "5"), "a client of it is none"),
            (f"{HEAD}\n{good}\n" + good.replace("999999", '"5"'), "a client of it is none"),
            (f"{HEAD}\n{good}\n" + good.replace("999999", "NaN"), "NaN is no time"),
            (f"{HEAD}\n{good}\n" + good.replace("999999", "9" * 400), "int too large"),
        ):
            self.path.write_bytes(text.encode("latin-1"))
            process = Process(self.folder, 5.0, 1_000_000.0)
            (said,) = process.open()
            began = f"{self.path} cannot be read, so all clients are new: {why}"
            self.assertEqual(said[: len(began)], began)
            self.assertEqual(sum(map(len, process.tables.values())), 0)
            self.end(process)
            self.assertEqual(Path(f"{self.path}.unread").read_bytes(), text.encode("latin-1"))
            self.assertFalse(self.path.exists())

    @given(st.binary(max_size=200), st.booleans())
    def test_any_bytes(self, data: bytes, behind_head: bool) -> None:
        """Whatever the file is, the process starts."""
        self.path.write_bytes(HEAD.encode() + b"\n" + data if behind_head else data)
        process = Process(self.folder, 5.0, 1_000_000.0)
        with capturedLogs():
            process.file.open()
        self.end(process)

    def test_unreadable(self) -> None:
        """What cannot be opened is told in the system's words."""
        self.path.mkdir()
        process = Process(self.folder, 5.0, 1_000_000.0)
        said = f"{self.path} cannot be read, so all clients are new: Is a directory"
        self.assertEqual(process.open(), [said])
        self.end(process)

    def test_no_folder(self) -> None:
        """Without a folder there is a warning, and nothing else."""
        process = Process(f"{self.folder}/none", 5.0, 1_000_000.0)
        (said,) = process.open()
        self.assertTrue(said.endswith("may change servers at a restart: No such file or directory"), said)
        process.file.start()
        self.assertEqual(process.clock.getDelayedCalls(), [])
        self.successResultOf(Deferred.fromCoroutine(process.file.stop()))

    def test_two_processes(self) -> None:
        """A second process with the same folder neither reads nor writes it while the first one runs."""
        first = self.process()
        first.lead(ANN, "a")
        first.clock.pump([INTERVAL, 0])
        second = Process(self.folder, 5.0, 1_000_000.0)
        self.assertEqual(
            [said.removeprefix(f"{self.path} is not used, and ") for said in second.open()],
            ["clients may change servers at a restart: in use by another process"],
        )
        second.file.start()
        second.lead(ANN, "b")
        self.successResultOf(Deferred.fromCoroutine(second.file.stop()))
        self.assertEqual(second.threads, 0)
        self.end(first)
        third = self.process()
        self.assertEqual(third.home(ANN), "a")
        self.end(third)

    def test_cannot_be_written(self) -> None:
        """A full disk is told once, and again when it has been written since; the old file stays."""
        process = self.process()
        process.lead(ANN, "a")
        process.clock.pump([INTERVAL, 0])
        written = self.path.read_bytes()

        def full(path: str, lines: object) -> None:
            raise OSError(28, "No space left on device")

        with capturedLogs() as events:
            for _ in range(2):
                patch = self.patch(affinity, "_write", full)
                process.clock.pump([INTERVAL, 0, 0] * 2)
                self.assertEqual(self.path.read_bytes(), written)
                patch.restore()
                process.clock.pump([INTERVAL, 0, 0])
                process.lead(ANN, "a")
        said = [formatEvent(event) for event in events]
        self.assertEqual(said, [f"{self.path} cannot be written: No space left on device"] * 2)
        self.end(process)

    def test_goes_on(self) -> None:
        """Whatever goes wrong in one minute, the next stores again."""
        process = self.process()
        process.lead(ANN, "a")
        patch = self.patch(affinity, "_write", fail_unexpectedly)
        process.clock.pump([INTERVAL, 0, 0])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        patch.restore()
        process.clock.pump([INTERVAL, 0, 0])
        self.assertIn(b"192.0.2", self.path.read_bytes())
        self.end(process)


def fail_unexpectedly(path: str, lines: object) -> None:
    """Stands for what nobody has thought of."""
    raise RuntimeError("out of order")

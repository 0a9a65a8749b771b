"""One line a connection, whatever its peer is called."""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.admin.access_log import (
    LONGEST_TEXT,
    MOST_WAITING,
    REFUSALS_A_SECOND,
    WRITE_INTERVAL,
    AccessLog,
    AccessLogOptions,
    json_line,
    text_line,
)
from tcpsuite.core.connections import Attempt, Connection, Counted, Reason
from tcpsuite.errors import StartError
from tcpsuite.options import OptionError

ENDED = 1_700_000_001.25
"""When every connection here ended, by the wall clock, which has been set since they began."""

FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)')


def ended(
    reason: Reason = Reason.CLIENT_CLOSED, detail: str = "", user: str = "", peer: str = "192.0.2.7:4711"
) -> Connection:
    connection = Connection("ab-1", peer, "192.0.2.7", "db", "gateway", 100.0, 0.0)
    connection.server = "a"
    connection.user = user
    connection.traffic = Counted(12, 3456)
    connection.because(reason, detail)
    connection.ended = 101.25
    return connection


class LineTests(SynchronousTestCase):
    def test_text(self) -> None:
        """A text line begins with the time of the end in UTC, and has a name for everything else."""
        self.assertEqual(
            text_line(ended(), ENDED),
            "2023-11-14T22:13:21.250Z id=ab-1 peer=192.0.2.7:4711 listener=db service=gateway server=a "
            "user=- bytes_in=12 bytes_out=3456 seconds=1.25 reason=client_closed detail=- attempts=-",
        )

    def test_json(self) -> None:
        """A JSON line holds the same, with numbers as numbers and attempts as objects."""
        connection = ended(Reason.CONNECT_FAILED, "nobody there")
        connection.attempts = (Attempt("a", "refused", 0.0012344),)
        values = json.loads(json_line(connection, ENDED))
        self.assertEqual(values["time"], "2023-11-14T22:13:21.250Z")
        self.assertEqual(values["bytes_out"], 3456)
        self.assertEqual(values["detail"], "nobody there")
        self.assertEqual(values["attempts"], [{"server": "a", "error": "refused", "seconds": 0.001234}])

    def test_attempts(self) -> None:
        """A text line tells each attempt to reach a server."""
        connection = ended()
        connection.attempts = (Attempt("a", "refused", 0.001), Attempt("b", "", 0.0000214))
        self.assertIn('attempts="a: refused (0.001000 s), b: ok (0.000021 s)"', text_line(connection, ENDED))

    def test_nothing_and_a_hyphen(self) -> None:
        """A user who is called - is told from none."""
        self.assertIn('user="-"', text_line(ended(user="-"), ENDED))

    @given(st.text(max_size=300), st.text(max_size=300))
    def test_hostile_text(self, user: str, detail: str) -> None:
        """Whatever a peer brings in stays in its field, on its line, in ASCII."""
        line = text_line(ended(user=user, detail=detail), ENDED)
        self.assertTrue(line.isascii() and line.isprintable())
        found = dict(FIELD.findall(line))
        self.assertEqual(len(found), 12)
        for name, text in (("user", user), ("detail", detail)):
            value = found[name]
            shown = json.loads(value) if value.startswith('"') else value.removeprefix("-")
            self.assertEqual(shown, text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…")
        self.assertTrue(json_line(ended(user=user), ENDED).isascii())


class AccessLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "access.log")

    def open(self, path: str | None = None, form: str = "text") -> AccessLog:
        log = AccessLog(AccessLogOptions(path or str(self.path), form), self.clock, lambda: ENDED)
        log.open()
        self.addCleanup(log.close)
        return log

    def open_on(self, fd: int) -> AccessLog:
        """A log to standard output, which is ``fd``, and for the log alone."""
        saved = os.dup(1)
        try:
            os.dup2(fd, 1)
            return self.open("-")
        finally:
            os.dup2(saved, 1)
            os.close(saved)
            os.close(fd)

    def lines(self) -> list[str]:
        self.clock.advance(WRITE_INTERVAL)
        return self.path.read_text().splitlines()

    def test_written_soon(self) -> None:
        """Each line is in the file a moment later, whole and in order, behind what was there."""
        self.path.write_text("before\n")
        log = self.open()
        for user in "ab":
            log.write(ended(user=user))
        self.assertEqual(self.path.read_text(), "before\n")
        self.assertEqual(
            self.lines(), ["before", text_line(ended(user="a"), ENDED), text_line(ended(user="b"), ENDED)]
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_few_wait(self) -> None:
        """When many end at once their lines do not wait, so that memory does not fill with them."""
        log = self.open()
        for _ in range(MOST_WAITING):
            log.write(ended())
        self.assertEqual(len(self.path.read_text().splitlines()), MOST_WAITING)

    def test_closing_writes_what_waits(self) -> None:
        """Behind a close every line is in the file, and no timer is left."""
        log = self.open()
        log.write(ended())
        log.close()
        self.assertEqual(self.path.read_text(), text_line(ended(), ENDED) + "\n")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_json_format(self) -> None:
        """The format is chosen by its name."""
        self.open(form="json").write(ended())
        self.assertEqual(json.loads(self.lines()[0])["id"], "ab-1")

    def test_off(self) -> None:
        """Without a path nothing is written."""
        log = AccessLog(AccessLogOptions(), self.clock)
        log.open()
        log.write(ended())
        log.close()
        self.assertFalse(self.path.exists())

    def test_standard_output(self) -> None:
        """- is the process's own standard output, even where sys.stdout is another."""
        read, write = os.pipe()
        log = self.open_on(write)
        log.write(ended())
        log.close()
        with open(read, encoding="ascii") as pipe:
            self.assertEqual(pipe.read(), text_line(ended(), ENDED) + "\n")

    def test_standard_output_stalls(self) -> None:
        """A pipe, socket or terminal that is not read keeps nobody waiting: lines are lost, and counted, and
        those behind them are whole when it is read again.  For others who write there it is as it was.
        """
        for read, write in (os.pipe(), _sockets(), os.openpty()):
            os.set_blocking(read, False)
            shared = os.dup(write)
            log = self.open_on(write)
            while not log.lost:
                log.write(ended())
            log.write(ended())
            lost = log.lost
            self.assertGreater(lost, 1)
            self.assertTrue(os.get_blocking(shared))
            while _read(read):
                pass
            log.write(ended(user="ann"))
            self.assertEqual(log.lost, lost)
            self.assertIn(text_line(ended(user="ann"), ENDED), _read(read).decode().splitlines())
            log.close()
            os.close(shared)
            os.close(read)

    def test_standard_output_is_a_file(self) -> None:
        """A file that the shell opened is written where the shell stands in it."""
        self.path.write_text("before\n")
        fd = os.open(self.path, os.O_WRONLY)
        os.lseek(fd, 0, os.SEEK_END)
        self.open_on(fd).write(ended())
        self.assertEqual(self.lines(), ["before", text_line(ended(), ENDED)])

    def test_cannot_be_opened(self) -> None:
        """A file that cannot be opened stops the start, and is named."""
        for path in (f"{self.path}/none", str(self.path.parent)):
            error = self.assertRaises(StartError, self.open, path)
            self.assertIn(f"access_log: cannot write to {path}: ", str(error))

    def test_fifo_without_a_reader(self) -> None:
        """A FIFO that nobody reads is refused at once."""
        os.mkfifo(self.path)
        self.assertRaises(StartError, self.open)

    def test_relative_path(self) -> None:
        """A path must be absolute: twistd changes its directory."""
        self.assertRaises(OptionError, AccessLogOptions, "access.log")

    def test_moved_away(self) -> None:
        """A file that was moved away is made anew within a second."""
        log = self.open()
        log.write(ended())
        log.flush()
        old = self.path.rename(f"{self.path}.1")
        log.write(ended())
        log.flush()
        self.assertEqual(len(old.read_text().splitlines()), 2)
        self.clock.advance(1)
        log.write(ended())
        self.assertEqual(len(self.lines()), 1)

    def test_replaced(self) -> None:
        """A file in whose place another was put is left for that one."""
        log = self.open()
        log.write(ended())
        log.flush()
        self.path.rename(f"{self.path}.1")
        self.path.touch()
        self.clock.advance(1)
        log.write(ended())
        self.assertEqual(len(self.lines()), 1)

    def test_reopen_fails(self) -> None:
        """When the file cannot be opened anew, the old one stays in use, and one warning a minute says so."""
        log = self.open()
        log.write(ended())
        log.flush()
        old = self.path.rename(f"{self.path}.1")
        self.path.mkdir()
        warnings = self.warnings()
        for _ in range(30):
            self.clock.advance(1)
            log.write(ended())
        log.flush()
        self.assertEqual(len(old.read_text().splitlines()), 31)
        self.assertEqual(len(warnings), 1)

    def test_disk_full(self) -> None:
        """A line that cannot be written is counted; one warning a minute says so."""
        log = self.open("/dev/full")
        warnings = self.warnings()
        for _ in range(3):
            log.write(ended())
        self.assertEqual((log.lost, len(warnings)), (3, 1))
        self.assertIn("lost=3", repr(log))
        self.clock.advance(60)
        log.write(ended())
        self.assertEqual(len(warnings), 2)

    def test_disk_full_in_the_middle(self) -> None:
        """Of lines that are written together the whole ones count, the others are lost, and what comes when
        there is room again is on a line of its own.
        """
        line = text_line(ended(), ENDED) + "\n"
        room, write = 0, os.write

        def write_some(fd: int, data: bytes) -> int:
            nonlocal room
            taken, room = data[:room], max(0, room - len(data))
            return write(fd, taken)

        self.patch(os, "write", write_some)
        log = self.open()
        for room, lost in ((2 * len(line) + 10, 3), (2 * len(line) + 1, 6)):  # noqa: B007
            for _ in range(5):
                log.write(ended())
            log.flush()
            self.assertEqual(log.lost, lost)
        room = 1000
        log.write(ended())
        self.assertEqual(self.lines(), [line[:-1]] * 2 + [line[:10]] + [line[:-1]] * 2 + [line[:-1]])

    def test_cut_short(self) -> None:
        """A line of which only the beginning could be written is lost, and the next one is whole."""
        os.mkfifo(self.path)
        with open(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK), "rb") as pipe:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
            log = self.open()
            long = ended()
            long.attempts = (Attempt("a", "refused", 0.001),) * 300
            log.write(long)
            self.assertEqual(log.lost, 1)
            begun = pipe.read(8192)
            log.write(ended())
            log.write(ended())
            line = text_line(ended(), ENDED).encode() + b"\n"
            self.assertTrue(text_line(long, ENDED).encode().startswith(begun))
            self.assertEqual((pipe.read(8192), log.lost), (b"\n" + line + line, 1))

    def test_refusals(self) -> None:
        """Of the connections that a limit refused, so many a second leave a line; the next one tells how many
        did not. Others are not held up by them.
        """
        log = self.open()
        for _ in range(REFUSALS_A_SECOND + 7):
            log.write(ended(Reason.LIMITED, "too many"))
        self.assertEqual(len(self.lines()), REFUSALS_A_SECOND)
        log.write(ended())
        self.assertEqual(len(self.lines()), REFUSALS_A_SECOND + 1)
        self.clock.advance(1)
        log.write(ended(Reason.LIMITED, "too many"))
        self.assertTrue(self.lines()[-1].endswith(" unlogged=7"))
        log.write(ended(Reason.LIMITED, "too many"))
        self.assertNotIn("unlogged", self.lines()[-1])

    def warnings(self) -> list[object]:
        events: list[object] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return events


def _sockets() -> tuple[int, int]:
    read, write = socket.socketpair()
    return read.detach(), write.detach()


def _read(fd: int) -> bytes:
    """What there is to read now."""
    try:
        return os.read(fd, 1 << 20)
    except BlockingIOError:
        return b""

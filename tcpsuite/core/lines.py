"""Splits what arrives into lines, with a bound on how long one may be, and on how many may wait."""

from __future__ import annotations

from collections import deque

from tcpsuite.errors import ProtocolError

OVER_LIMIT = "limit"
"""The code of what a limit refuses: here, a line past those that may be held."""
MAX_LINE = 16 * 1024
"""Bytes a line may have without its end.  A key and a value of a session fit; a book does not."""
MAX_VERB = 32
"""Bytes of a line that cannot be read in which its first word is looked for."""


class LineError(ProtocolError):
    """A line that cannot be read.

    :ivar line: what there is of it, with U+FFFD for what is not UTF-8; of one too long the beginning.
    :ivar verb: its first word, as far as that could be read.
    """

    def __init__(self, code: str, text: str, line: bytes | bytearray) -> None:
        super().__init__(code, text)
        self.line = line.decode(errors="replace")
        self.verb = bytes(line[:MAX_VERB]).partition(b" ")[0].decode(errors="replace")


class LineSplitter:
    """Feed it bytes, ask it for lines.  A line ends with LF; a CR before it is dropped.

    A line over ``max_length`` is reported once, as soon as that is known, and the rest of it skipped, so that
    neither a long line nor an endless one is ever held.

    A line that arrives while ``max_lines`` are held is reported too, when its turn comes; 0 for no bound.
    """

    def __init__(self, max_length: int = MAX_LINE, max_lines: int = 0) -> None:
        self.max_length = max_length
        self.max_lines = max_lines
        self._buffer = bytearray()
        self._searched = 0
        self._skipping = False
        self._taken = 0  # lines that are not held any more
        self._refused: deque[tuple[int, int]] = deque()  # from which line to which one, by that count

    def __repr__(self) -> str:
        return f"<LineSplitter {len(self._buffer)} bytes{' skipping' if self._skipping else ''}>"

    def __len__(self) -> int:
        """Bytes that are held."""
        return len(self._buffer)

    @property
    def partial(self) -> bool:
        """Whether something is held that is not yet a line, or a line's end is still awaited."""
        return bool(self._buffer) or self._skipping

    def feed(self, data: bytes) -> None:
        """More bytes arrived."""
        self._buffer += data
        # So few bytes hold no more lines, and need not be looked through.
        if 0 < self.max_lines < len(self._buffer):
            held = self._buffer.count(b"\n")
            first = max(held - data.count(b"\n"), self.max_lines) + 1
            if first <= held:
                self._refused.append((self._taken + first, self._taken + held))

    def next(self) -> str | None:
        """The next line without its end, or ``None`` until more bytes arrive.

        :raises LineError: ``too-long``, ``not-utf8`` or :data:`OVER_LIMIT`, once for each such line; the next
            call goes on behind it.
        """
        while (end := self._buffer.find(b"\n", self._searched)) >= 0:
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            self._searched = 0
            self._taken += 1
            refused = self._refused and self._is_refused()
            if self._skipping:
                self._skipping = False
            elif refused:
                raise self._one_too_many(line)
            elif len(line) > self.max_length:
                raise self._too_long(line)
            else:
                return _decode(line)
        if self._skipping:
            self._drop()
        # A CR at the end of what there is may be the end of the line, and then is no part of it.
        if len(self._buffer) - self._buffer.endswith(b"\r") > self.max_length:
            self._skipping = True
            error = self._too_long(self._buffer)
            self._drop()
            raise error
        self._searched = len(self._buffer)
        return None

    def rest(self) -> bytes:
        """All that is held, for a reader that takes over behind a line."""
        data = bytes(self._buffer)
        self._drop()
        self._refused.clear()
        return data

    def _is_refused(self) -> bool:
        """Whether the line that is taken now is past those that could be held when it arrived."""
        first, last = self._refused[0]
        if self._taken == last:
            self._refused.popleft()
        return self._taken >= first

    def _drop(self) -> None:
        self._buffer.clear()
        self._searched = 0

    def _one_too_many(self, line: bytes) -> LineError:
        text = f"more than {self.max_lines} requests wait for their answers"
        return LineError(OVER_LIMIT, text, line[: self.max_length])

    def _too_long(self, line: bytes | bytearray) -> LineError:
        return LineError("too-long", f"a line may have {self.max_length} bytes", line[: self.max_length])


def _decode(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise LineError("not-utf8", "a line must be UTF-8", line) from None

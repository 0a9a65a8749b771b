"""The two prompts of the manhole: one that edits lines on a terminal, and one for pipes.

A terminal tells its size by the sequence that xterm answers with, ``CSI 8 ; rows ; columns t``: first of all
it sends, and whenever it changes.  Whatever begins otherwise is taken as plain lines.

Of ``twisted.conch`` this uses what needs no cryptography; importing it imports a reactor.
"""
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import platform
import re
import rlcompleter
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

from twisted.conch.insults.insults import ServerProtocol, modes
from twisted.conch.recvline import HistoricRecvLine
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

from tcpsuite import __version__
from tcpsuite.admin.console import Console

if TYPE_CHECKING:
    from twisted.python.failure import Failure

LONGEST_LINE = 1 << 20
"""Bytes of one plain line: room for anything that a program writes on one."""
BANNER = (
    f"tcpsuite {__version__}, Python {platform.python_version()}; help() tells what is here, Ctrl-D leaves.\n"
)

_SIZE = re.compile(rb"\x1b\[8;(\d{1,4});(\d{1,4})t")
_DOTTED = re.compile(r"[\w.]+$")


@implementer(IHalfCloseableProtocol)
class PlainPrompt(LineReceiver):
    """Lines in, output out: no prompt, no echo.  Done when the last line that came has been dealt with.

    :param namespace: the names that what is typed sees.
    """

    delimiter = b"\n"
    MAX_LENGTH = LONGEST_LINE
    transport: Any
    _ended = False

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._console = Console(namespace, self._write, self._done, self._leave)

    def lineReceived(self, line: bytes) -> None:
        """One line of Python; the next one waits in the buffer while it is awaited."""
        self._console.push(line.decode(errors="replace").removesuffix("\r"))
        self.paused = self._console.busy

    def readConnectionLost(self) -> None:
        """There are no more lines; an empty one ends a block that was begun."""
        self._ended = True
        self._go_on(b"\n\n")

    def writeConnectionLost(self) -> None:
        """Nobody reads the output; the loss of the connection follows."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone: what is awaited is cancelled."""
        self._console.close()

    def _write(self, text: str) -> None:
        self.transport.write(text.encode(errors="replace"))

    def _done(self, _more: bool) -> None:
        if self.paused:
            self.paused = False
            self._go_on(b"")

    def _go_on(self, data: bytes) -> None:
        self.dataReceived(data)
        if self._ended and not self.paused:
            self.transport.loseConnection()

    def _leave(self) -> None:
        self.transport.loseConnection()


class TerminalPrompt(HistoricRecvLine):
    """A prompt with line editing, history and completion, below a :class:`TerminalServer`.

    :param namespace: the names that what is typed sees.
    """

    ps = (b">>> ", b"... ")

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.console = Console(namespace, self._write, self._done, self._leave)
        self._early: list[tuple[bytes, Any]] = []
        self._character = b""

    def connectionMade(self) -> None:
        """Greet, and ask for the first line."""
        super().connectionMade()
        for key, act in (
            (b"\x01", self.handle_HOME),
            (b"\x03", self._interrupt),
            (b"\x04", self._end),
            (b"\x05", self.handle_END),
            (b"\x08", self.handle_BACKSPACE),
            (b"\x0c", self._clear),
            (b"\x15", self._erase_to_start),
        ):
            self.keyHandlers[key] = act

    def initializeScreen(self) -> None:
        """Leave what is on the screen."""
        self.setInsertMode()
        self.terminal.write(BANNER.encode() + self.ps[0])

    def connectionLost(self, reason: Failure) -> None:
        """Gone: what is awaited is cancelled."""
        self.console.close()

    def terminalSize(self, width: int, height: int) -> None:
        """The terminal's size, now."""
        self.width, self.height = width, height

    def unhandledControlSequence(self, seq: bytes) -> None:
        """A sequence that is no key."""
        if match := _SIZE.fullmatch(seq):
            self.terminalSize(int(match[2]), int(match[1]))

    def keystrokeReceived(self, keyID: bytes, modifier: Any) -> None:
        """A key.  While something is awaited, only an interrupt is heard; the others wait."""
        if self.console.busy and keyID != b"\x03":
            self._early.append((keyID, modifier))
        elif keyID in self.keyHandlers:
            self.keyHandlers[keyID]()
        elif len(keyID) == 1 and keyID >= b" " and modifier is None:
            self._type(keyID)

    def lineReceived(self, line: bytes) -> None:
        """A line is complete."""
        self.console.push(line.decode())

    def handle_TAB(self) -> None:
        """Complete the name before the cursor; indent where there is none."""
        left = self.currentLineBuffer()[0].decode()
        name = _DOTTED.search(left)
        if name is None:
            self._insert(" " * (self.TABSTOP - len(left) % self.TABSTOP))
            return
        choices = _completions(self.console.namespace, name[0])
        shared = commonprefix(choices)  # noqa: RUF071 (of names, not of paths)
        if shared == name[0] and len(choices) > 1:
            self._write("\n" + "  ".join(choices) + "\n")
            self._redraw()
        else:
            self._insert(shared[len(name[0]) :])

    def _deliverBuffer(self, buf: bytes) -> None:
        self._insert(buf.decode())

    def _insert(self, text: str) -> None:
        for character in text:
            self.characterReceived(character.encode(), False)

    def _type(self, byte: bytes) -> None:
        """A byte of a character; in UTF-8 one may have four."""
        self._character += byte
        try:
            self._character.decode()
        except UnicodeDecodeError:
            if len(self._character) < 4:
                return
        else:
            self.characterReceived(self._character, False)
        self._character = b""

    def _write(self, text: str) -> None:
        self.terminal.write(text.encode(errors="replace"))

    def _done(self, more: bool) -> None:
        self.pn = int(more)
        if not self.terminal.lastWrite.endswith(b"\n"):
            self.terminal.nextLine()
        self.terminal.write(self.ps[self.pn])
        early, self._early = self._early, []
        for key, modifier in early:
            self.keystrokeReceived(key, modifier)

    def _leave(self) -> None:
        self.terminal.loseConnection()

    def _interrupt(self) -> None:
        self._early.clear()
        if not self.console.busy:
            self.lineBuffer, self.lineBufferIndex = [], 0
        self.terminal.nextLine()
        self.console.interrupt()

    def _end(self) -> None:
        if not self.lineBuffer:
            self.terminal.nextLine()
            self.terminal.loseConnection()

    def _clear(self) -> None:
        self.terminal.eraseDisplay()
        self.terminal.cursorHome()
        self._redraw()

    def _erase_to_start(self) -> None:
        for _ in range(self.lineBufferIndex):
            self.handle_BACKSPACE()

    def _redraw(self) -> None:
        self.drawInputLine()
        if behind := len(self.lineBuffer) - self.lineBufferIndex:
            self.terminal.cursorBackward(behind)


class TerminalServer(ServerProtocol):
    """Between a connection and its :class:`TerminalPrompt`: keys from bytes, and what is seen as bytes."""

    transport: Any

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.prompt = TerminalPrompt(namespace)
        super().__init__(lambda: self.prompt)

    def loseConnection(self) -> None:
        """Close, and leave the terminal as it was found, its contents included."""
        self.resetModes([modes.IRM])
        self.transport.loseConnection()


def _completions(namespace: dict[str, Any], text: str) -> list[str]:
    completer = rlcompleter.Completer(namespace)
    try:
        found = completer.attr_matches(text) if "." in text else completer.global_matches(text)
    except Exception:  # looking at an attribute runs code of its owner, which may raise anything
        return []
    return sorted({choice.partition("(")[0].rstrip(" :") for choice in found})

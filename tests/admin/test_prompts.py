"""The two prompts of the manhole, fed with bytes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.admin.prompts import PlainPrompt, TerminalServer

LOST = Failure(ConnectionDone())


class PlainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.waiting: Deferred[Any] = Deferred()
        self.prompt = PlainPrompt({"waiting": self.waiting})
        self.transport = StringTransport()
        self.prompt.makeConnection(self.transport)
        self.addCleanup(self.prompt.connectionLost, LOST)

    def test_lines(self) -> None:
        """Only what lines print comes back: no prompt and no echo; whole, byte by byte, with a tail."""
        script = b"x = 20\r\nx + 1\nprint('\xc3\xa9')\n"
        for pieces in ([script], [bytes([byte]) for byte in script], [script + b"x", b""]):
            self.setUp()
            for piece in pieces:
                self.prompt.dataReceived(piece)
            self.assertEqual(self.transport.value(), b"21\n\xc3\xa9\n")

    def test_end(self) -> None:
        """At the end of the input the last line counts without its newline, and a block is ended."""
        self.prompt.dataReceived(b"for i in range(2):\n  print(i)")
        self.prompt.readConnectionLost()
        self.assertEqual(self.transport.value(), b"0\n1\n")
        self.assertTrue(self.transport.disconnecting)

    def test_waits_in_order(self) -> None:
        """While a line is awaited the next ones wait, the end of the input too."""
        self.prompt.dataReceived(b"waiting\nprint(2)\n")
        self.prompt.dataReceived(b"print(3)")
        self.prompt.readConnectionLost()
        self.assertEqual((self.transport.value(), self.transport.disconnecting), (b"", False))
        self.waiting.callback(1)
        self.assertEqual((self.transport.value(), self.transport.disconnecting), (b"1\n2\n3\n", True))

    def test_exit(self) -> None:
        """exit() closes, and what stands behind it is not run."""
        self.prompt.dataReceived(b"exit()\nprint(1)\n")
        self.assertEqual((self.transport.value(), self.transport.disconnecting), (b"", True))

    def test_peer_goes(self) -> None:
        """When the peer goes, what is awaited is cancelled."""
        self.prompt.dataReceived(b"waiting\n")
        self.prompt.writeConnectionLost()
        self.prompt.connectionLost(LOST)
        self.assertTrue(self.waiting.called)


class Guarded:
    """Does not like to be looked at."""

    def __dir__(self) -> list[str]:
        raise RuntimeError


class TerminalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.waiting: Deferred[Any] = Deferred()
        self.server = TerminalServer(
            {"waiting": self.waiting, "alphabet": "abc", "alpine": 1, "guarded": Guarded()}
        )
        self.transport = StringTransport()
        self.server.makeConnection(self.transport)
        self.server.dataReceived(b"\x1b[8;40;120t")
        self.transport.clear()
        self.addCleanup(self.lose)

    def lose(self) -> None:
        if self.server.terminalProtocol is not None:
            self.server.connectionLost(LOST)

    def type(self, keys: bytes) -> bytes:
        """What the terminal is sent for some keys."""
        self.transport.clear()
        self.server.dataReceived(keys)
        sent: bytes = self.transport.value()
        return sent

    def result(self, keys: bytes) -> bytes:
        """What is printed for a line that is made with some keys."""
        self.type(keys)
        return self.type(b"\r").removeprefix(b"\r\n").removesuffix(b">>> ")

    def test_size(self) -> None:
        """The terminal's size is known, draws nothing, and may change."""
        self.assertEqual((self.server.prompt.width, self.server.prompt.height), (120, 40))
        self.assertEqual(self.type(b"\x1b[8;24;80t"), b"")
        self.assertEqual((self.server.prompt.width, self.server.prompt.height), (80, 24))

    def test_greeting(self) -> None:
        """It greets, and clears no screen."""
        server, transport = TerminalServer({}), StringTransport()
        server.makeConnection(transport)
        self.assertIn(b"help() tells what is here", transport.value())
        self.assertTrue(transport.value().endswith(b"\r\n>>> "))
        self.assertNotIn(b"\x1bc", transport.value())
        server.connectionLost(LOST)

    def test_line(self) -> None:
        """Keys are echoed; Return runs the line, and asks for the next."""
        self.assertEqual(self.type(b"1+1"), b"1+1")
        self.assertEqual(self.type(b"\r"), b"\r\n2\r\n>>> ")

    def test_block(self) -> None:
        """Within a block the other prompt is shown."""
        self.assertTrue(self.type(b"if 1:\r").endswith(b"\r\n... "))
        self.assertTrue(self.type(b"  print(5)\r").endswith(b"\r\n... "))
        self.assertEqual(self.type(b"\r"), b"\r\n5\r\n>>> ")

    def test_output_without_newline(self) -> None:
        """The prompt begins a line, whatever was printed before."""
        self.assertEqual(self.result(b"print(5, end='')"), b"5\r\n")

    def test_editing(self) -> None:
        """The keys of a line editor move and delete."""
        for keys, line in (
            (b"13\x1b[D2", b"123"),  # left
            (b"23\x011", b"123"),  # Ctrl-A
            (b"23\x1b[H1", b"123"),  # Home
            (b"12\x01\x053", b"123"),  # Ctrl-E
            (b"124\x7f3", b"123"),  # Backspace
            (b"124\x083", b"123"),  # Ctrl-H
            (b"9123\x01\x1b[3~", b"123"),  # Delete
            (b"987\x15123", b"123"),  # Ctrl-U
        ):
            self.assertEqual(self.result(keys), line + b"\r\n", keys)

    def test_history(self) -> None:
        """The up arrow brings back earlier lines, whatever letters they have."""
        self.result("print('é1')".encode())
        self.assertEqual(self.result(b"\x1b[A\x1b[D\x1b[D\x7f2"), "é2\r\n".encode())

    def test_unicode(self) -> None:
        """A character of several bytes is one, in however many pieces it comes; what is none is left out."""
        self.type(b"'\xe2\x82")
        self.assertEqual(self.result(b"\xac\x7fx\xf0\x9f\x98\x80'"), "'x😀'\r\n".encode())
        self.assertEqual(self.result(b"'\xff\xff\xff\xffx'"), b"'x'\r\n")

    def test_completion(self) -> None:
        """Tab completes a name; when there are several, a second one shows them."""
        self.assertEqual(self.type(b"alph\t"), b"alphabet")
        self.assertEqual(self.result(b".upp\t()"), b"'ABC'\r\n")
        self.assertEqual(self.type(b"alp\t"), b"alp\r\nalphabet  alpine\r\n>>> alp")
        for keys in (b"\x15nothing.at", b"\x15xyzzy", b"\x15guarded.at"):
            self.type(keys)
            self.assertEqual(self.type(b"\t"), b"", keys)

    def test_indent(self) -> None:
        """Tab indents where there is no name."""
        self.assertEqual(self.type(b"\t"), b"    ")
        self.assertEqual(self.type(b"  \t"), b"    ")

    def test_interrupt_line(self) -> None:
        """Ctrl-C forgets the line and the block."""
        self.assertEqual(self.type(b"if 1:\rboo\x03").split(b"\r\n")[-2:], [b"KeyboardInterrupt", b">>> "])
        self.assertEqual(self.result(b"7"), b"7\r\n")

    def test_interrupt_waiting(self) -> None:
        """While something is awaited keys wait, and Ctrl-C cancels it."""
        self.assertEqual(self.type(b"waiting\r"), b"waiting\r\n")
        self.assertEqual(self.type(b"5"), b"")
        self.assertEqual(self.type(b"\x03"), b"\r\ncancelled\r\n>>> ")

    def test_early_keys(self) -> None:
        """Keys that came while something was awaited are taken when it is there, line by line."""
        self.type(b"waiting\r1\r2")
        self.transport.clear()
        self.waiting.callback("here")
        self.assertEqual(self.transport.value(), b"'here'\r\n>>> 1\r\n1\r\n>>> 2")

    def test_clear(self) -> None:
        """Ctrl-L clears the screen, and shows the line again with the cursor where it was."""
        self.type(b"12\x1b[D")
        self.assertEqual(self.type(b"\x0c"), b"\x1b[2J\x1b[H>>> 12\x1b[1D")

    def test_leave(self) -> None:
        """Ctrl-D on an empty line and exit() leave, with the terminal out of insert mode, its screen kept."""
        self.assertEqual(self.type(b"1\x04"), b"1")
        for keys in (b"\x04", b"exit()\r"):
            self.setUp()
            sent = self.type(keys)
            self.assertTrue(sent.endswith(b"\x1b[4l"), sent)
            self.assertNotIn(b"\x1bc", sent)
            self.assertTrue(self.transport.disconnecting)

    def test_other_keys(self) -> None:
        """Keys that mean nothing do nothing, and leave no line in the log."""
        self.assertEqual(self.type(b"\x1b[5~\x1b[15~\x02\x1bx\x1b[99z\x00"), b"")

    def test_lost(self) -> None:
        """When the terminal goes, what is awaited is cancelled."""
        self.type(b"waiting\r")
        self.lose()
        self.assertTrue(self.waiting.called)

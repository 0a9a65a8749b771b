"""The messages of the message service: what is written is read, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.messages import wire
from tcpsuite.core.messages.framing import MessageReader
from tcpsuite.core.messages.wire import Kind
from tcpsuite.errors import ProtocolError

NUMBERS = st.integers(1, wire.MAX_NUMBER)
NAMES = st.binary(min_size=1, max_size=wire.MAX_NAME)


def only(data: bytes) -> bytes:
    """The one message that these bytes are."""
    (message,) = MessageReader().feed(data)
    return message


class WireTests(SynchronousTestCase):
    """Each kind."""

    @given(NUMBERS, st.integers(0, wire.MAX_TIMEOUT), st.sampled_from([b"", bytes(16)]), NAMES, st.binary())
    def test_request(self, number: int, timeout: int, client: bytes, method: bytes, body: bytes) -> None:
        """A request, with or without a client's id."""
        message = only(wire.request_head(number, timeout, client, method, len(body)) + body)
        self.assertEqual(message[0], Kind.REPEATABLE if client else Kind.REQUEST)
        self.assertEqual(wire.read_request(message), (number, timeout, client, method, body))

    @given(NUMBERS, st.binary())
    def test_reply(self, number: int, body: bytes) -> None:
        """A reply: a kind, a number, and the body."""
        message = only(wire.reply_head(number, len(body)) + body)
        self.assertEqual((message[0], wire.read_number(message), message[5:]), (Kind.REPLY, number, body))

    @given(NUMBERS, st.text(max_size=60), st.text())
    def test_error(self, number: int, code: str, text: str) -> None:
        """An error: a number, a code, a text."""
        message = only(wire.refusal(number, code, text))
        error = wire.read_error(message)
        self.assertEqual((message[0], wire.read_number(message)), (Kind.ERROR, number))
        self.assertEqual((error.code, str(error)), (code, text))

    def test_long_code(self) -> None:
        """A code that is too long is cut."""
        self.assertEqual(wire.read_error(only(wire.refusal(1, "x" * 300, "why"))).code, "x" * 255)

    @given(NAMES, st.binary())
    def test_note(self, method: bytes, body: bytes) -> None:
        """A note: a method and a body."""
        message = only(wire.note_head(method, len(body)) + body)
        self.assertEqual((message[0], wire.read_note(message)), (Kind.NOTE, (method, body)))
        self.assertEqual(only(wire.notes(method, (body,))), message)
        self.assertEqual(MessageReader().feed(wire.notes(method, (body,) * 3)), [message] * 3)

    def test_others(self) -> None:
        """A cancel has a number; who leaves says no more than that."""
        message = only(wire.cancel(77))
        self.assertEqual((message[0], wire.read_number(message), len(message)), (Kind.CANCEL, 77, 5))
        self.assertEqual(only(wire.LEAVING), bytes([Kind.LEAVING]))

    def test_names(self) -> None:
        """A method has a name of 1 to 255 bytes."""
        self.assertEqual(wire.name("größe"), "größe".encode())
        for bad in ("", "x" * 256):
            self.assertRaises(ValueError, wire.name, bad)

    def test_page(self) -> None:
        """The bytes are those of the page."""
        self.assertEqual(
            (wire.request_head(1, 5000, b"", b"echo", 2) + b"hi").hex(" "),
            "00 00 00 10 01 00 00 00 01 00 00 13 88 04 65 63 68 6f 68 69",
        )
        self.assertEqual((wire.reply_head(1, 2) + b"hi").hex(" "), "00 00 00 07 02 00 00 00 01 68 69")


class CutTests(SynchronousTestCase):
    """Messages that are not whole."""

    def cut(self, read: Callable[[bytes], Any], message: bytes, least: int) -> None:
        """Of fewer bytes than ``least`` nothing is made but an error."""
        for size in range(least):
            error = self.assertRaises(ProtocolError, read, message[:size])
            self.assertEqual(error.code, "format")
        read(message[:least])

    def test_cut(self) -> None:
        """Every kind, cut at every byte before its body."""
        self.cut(wire.read_request, only(wire.request_head(1, 2, b"", b"echo", 0)), 14)
        self.cut(wire.read_request, only(wire.request_head(1, 2, bytes(16), b"echo", 0)), 30)
        self.cut(wire.read_error, only(wire.refusal(1, "busy", "")), 10)
        self.cut(wire.read_note, only(wire.note_head(b"echo", 0)), 6)
        self.cut(wire.read_number, only(wire.cancel(1)), 5)

    def test_number(self) -> None:
        """No request has the number 0: errors with it are about all of the stream."""
        message = only(wire.request_head(0, 0, b"", b"echo", 0))
        self.assertRaises(ProtocolError, wire.read_request, message)

    def test_words(self) -> None:
        """What is wrong is said in words."""
        for message, text in (
            (b"", "an empty message"),
            (b"\x09", "expected a message of kind 1 to 7, got 9"),
            (b"\x02a", "a reply of 2 bytes, which is no reply"),
        ):
            self.assertEqual(str(wire.too_short(message)), text)

"""What becomes of attached connections whose server has gone, and of all of them when the process ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.error import ConnectionLost

from tcpsuite.core.attaching.frames import END, Frame, FrameReader, Kind, broken, passed
from tcpsuite.core.connections import Reason
from tcpsuite.net.attaching.attachments import LAST_WORDS
from tcpsuite.net.attaching.server_end import PLACE_TIME
from tests.support.attached import TIMEOUT, AttachCase, Guest

if TYPE_CHECKING:
    from tcpsuite.testing.endpoints import ScriptedTransport

DRAIN = 20.0


class PlaceTests(AttachCase):
    """The place below the server's ``max_connections``, while there is no client."""

    def test_server_gone(self) -> None:
        """A server's connection that is gone has no place, though what it has said is kept."""
        for error in (None, ConnectionLost()):
            guest, server, _ = self.attached()
            guest.lose()
            self.assertEqual(self.servers["a"].active, 1)
            server.say(b"x")
            server.lose(error)
            self.assertEqual(self.servers["a"].active, 0)
            self.assertEqual(self.figure("detached"), 1)
            self.clock.advance(TIMEOUT + 1)

    def half(self, server_first: bool = True) -> tuple[ScriptedTransport, str]:
        """A server that has finished, before its client was lost or behind that; and the session."""
        guest, server, session_id = self.attached("ATTACH new 0 500")
        if not server_first:
            guest.lose()
        server.say(b"bye")
        server.finish()
        guest.lose()
        return server, session_id

    def back(self, session_id: str) -> Guest:
        """The client comes for what it has missed."""
        mark = next(iter(self.attachments._ends)).mark
        again = self.resumed(session_id)
        line, _, rest = again.say(f"ATTACH {mark} 0 500\n".encode()).partition(b"\n")
        self.assertRegex(line.decode(), f"^OK {mark} . 0 1000$")
        frames = list(FrameReader().feed(rest))
        self.assertEqual(frames[1:], [Frame(Kind.DATA, b"bye"), END])
        return again

    def test_server_finished(self) -> None:
        """A server that has finished keeps its place for a while.  Then it is reset; what it has said stays.
        To whoever comes for it the FIN is a FIN, and all closes in order.
        """
        for server_first in (True, False):
            server, session_id = self.half(server_first)
            self.clock.advance(PLACE_TIME - 1)
            self.assertFalse(server.disconnected)
            self.clock.advance(2.0)
            self.assertTrue(server.disconnected)
            server.settle()
            self.assertEqual((self.servers["a"].active, self.figure("detached")), (0, 1))
            again = self.back(session_id)
            again.say(END.encode() + passed(4).encode())
            self.assertTrue(again.transport.disconnecting)
            self.assertFalse(again.was_reset)
            self.assertEqual((self.figure("attached"), self.figure("detached")), (0, 0))

    def test_too_late(self) -> None:
        """A client that has more to say to it, and comes too late, is told of a reset."""
        server, session_id = self.half()
        self.clock.advance(PLACE_TIME)
        server.settle()
        again = self.back(session_id)
        told = again.say(Frame(Kind.DATA, b"one more thing").encode())
        self.assertEqual(told, broken("it was closed, and takes nothing").encode())

    def test_in_time(self) -> None:
        """One that is back in time goes on, for as long as it likes; behind it the time begins anew."""
        server, session_id = self.half()
        for _ in range(2):
            self.clock.advance(PLACE_TIME - 1)
            again = self.back(session_id)
            self.clock.advance(2.0)
            again.say(Frame(Kind.DATA, b"!").encode())
            again.lose()
        self.assertEqual(server.value(), b"!!")
        self.assertFalse(server.disconnected)
        self.clock.advance(PLACE_TIME)
        self.assertTrue(server.disconnected)

    def test_client_finished_too(self) -> None:
        """Where both have finished nobody is waited for: what the server has yet to take it may take."""
        guest, server, _ = self.attached("ATTACH new 0 500")
        guest.say(END.encode())
        guest.lose()
        server.finish()
        self.clock.advance(PLACE_TIME)
        self.assertFalse(server.disconnected)

    def test_session_closed(self) -> None:
        """A session that ends meanwhile takes it along at once."""
        server, session_id = self.half()
        self.resumed(session_id).ask("CLOSE")
        self.assertTrue(server.disconnected)


class DrainTests(AttachCase):
    """The process is to end, and clients have so many seconds."""

    def test_told(self) -> None:
        """Shortly before that, who is still attached is told of the end, in frames or by a reset."""
        framed, server, _ = self.attached("ATTACH new 0 500")
        raw, raws_server, _ = self.attached()
        self.attachments.drain(DRAIN)
        self.clock.advance(DRAIN - LAST_WORDS - 1)
        self.assertFalse(server.disconnected or raws_server.disconnected or raw.was_reset)
        server.say(b"last words")
        framed.frames()
        framed.say(passed(10).encode())
        self.clock.advance(1.0)
        (frame,) = (frame for frame in framed.frames() if frame.kind is not Kind.PASSED)
        self.assertEqual((frame.kind, frame.payload), (Kind.BROKEN, b"the process ends"))
        self.assertTrue(server.disconnected and raws_server.disconnected and raw.was_reset)
        self.assertFalse(framed.transport.disconnecting)
        framed.say(passed(11).encode())
        self.assertTrue(framed.transport.disconnecting)
        for guest in (framed, raw):
            self.assertEqual((guest.record.reason, guest.record.detail), (Reason.DRAINED, "the process ends"))
        self.assertEqual(self.figure("given_up"), 0)
        self.attachments.stop()

    def test_does_not_answer(self) -> None:
        """Who does not answer is given up when it is cut."""
        guest, server, _ = self.attached("ATTACH new 0 500")
        self.attachments.drain(DRAIN)
        self.clock.advance(DRAIN)
        server.settle()
        self.assertEqual(self.figure("attached"), 1)
        guest.lose()
        self.assertEqual((self.figure("given_up"), self.figure("detached")), (1, 0))

    def test_server_gone_before(self) -> None:
        """Of a server that has gone before, the client is told that too."""
        guest, server, _ = self.attached("ATTACH new 0 500")
        server.lose()
        guest.frames()
        self.attachments.drain(DRAIN)
        self.clock.advance(DRAIN)
        self.assertIn(Kind.BROKEN, [frame.kind for frame in guest.frames()])

    def test_over_before(self) -> None:
        """Where all have left before, nothing is waited for."""
        self.attachments.drain(DRAIN)
        self.attachments.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

"""ATTACH with a window: frames, in which both sides say what has arrived."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost

from tcpsuite.core.attaching.frames import END, Frame, Kind, broken, passed
from tcpsuite.core.connections import Reason
from tcpsuite.net.attaching.carriers import BEAT, BEATS_MISSED
from tests.support.attached import FIRST, AttachCase


class FramedTests(AttachCase):
    """Frames, in which both say what arrived."""

    def test_both_ways(self) -> None:
        """Each side begins with what it has passed on; then come the bytes, with the line and behind it."""
        guest, _ = self.opened()
        guest.say(b"ATTACH new 0 50\n" + passed(0).encode() + Frame(Kind.DATA, b"question").encode())
        server = self.endpoints["a"].accept()
        self.assertEqual(server.value(), b"question")
        server.say(b"x" * 60)
        line, _, rest = guest.heard().partition(b"\n")
        self.assertEqual(line.decode(), f"OK {FIRST} 0 0 1000")
        self.assertEqual(rest, passed(0).encode() + Frame(Kind.DATA, b"x" * 50).encode())
        guest.say(passed(50).encode())
        self.assertEqual(guest.frames(), [])
        guest.say(passed(50).encode())
        self.assertEqual(server.producerState, "producing")

    def test_goes_on(self) -> None:
        """Whoever comes back goes on where the other one stopped, both ways."""
        guest, server, session_id = self.attached("ATTACH new 0 500")
        guest.say(Frame(Kind.DATA, b"abc").encode())
        server.say(b"one")
        server.say(b"two")
        guest.lose()
        again = self.resumed(session_id)
        line, _, rest = again.say(f"ATTACH {FIRST} 4 500\n".encode()).partition(b"\n")
        self.assertEqual(line.decode(), f"OK {FIRST} 3 4 1000")
        self.assertEqual(rest, passed(3).encode() + Frame(Kind.DATA, b"wo").encode())

    def test_taken_over(self) -> None:
        """Who is taken over is told."""
        guest, _, session_id = self.attached("ATTACH new 0 500")
        guest.heard()
        self.resumed(session_id).ask("ATTACH")
        self.assertEqual([frame.kind for frame in guest.frames()], [Kind.TAKEN])
        again = self.resumed(session_id)
        again.ask(f"ATTACH {FIRST} 0 500")
        self.resumed(session_id).ask("ATTACH new")
        self.assertEqual([frame.kind for frame in again.frames()], [Kind.TAKEN])

    def test_ends(self) -> None:
        """FIN and reset pass, and the record tells who began."""
        for said, reason in (
            (END, Reason.CLIENT_CLOSED), (broken("reset"), Reason.CLIENT_RESET), (None, Reason.SERVER_CLOSED)
        ):  # fmt: skip
            was_reset = reason is Reason.CLIENT_RESET
            guest, server, _ = self.attached("ATTACH new 0 500")
            if said is None:
                server.finish()
                guest.say(END.encode())
            else:
                guest.say(said.encode())
            self.assertFalse(server.disconnecting)  # or it could not be reset any more
            self.clock.advance(0)
            self.assertEqual((server.finished, server.disconnected), (not was_reset, was_reset))
            server.finish()
            guest.say(passed(1).encode())
            self.assertTrue(guest.transport.disconnecting, reason)
            self.assertEqual(guest.record.reason, reason)
            server.settle()
        self.assertEqual((self.figure("attached"), self.figure("detached")), (0, 0))

    def test_reset_behind_a_fin(self) -> None:
        """A client that has finished, and then takes nothing any more, resets a server that speaks on."""
        guest, server, _ = self.attached("ATTACH new 0 500")
        guest.say(END.encode())
        self.assertTrue(server.finished)
        guest.say(broken("reset").encode())
        self.clock.advance(0)
        self.assertTrue(server.disconnected)
        self.assertEqual((guest.transport.disconnecting, guest.record.reason), (True, Reason.CLIENT_RESET))
        server.settle()
        self.assertEqual((self.figure("attached"), self.figure("detached")), (0, 0))

    def test_servers_reset(self) -> None:
        """A reset of the server's is told, and is the end when that is known to have arrived."""
        guest, server, _ = self.attached("ATTACH new 0 500")
        guest.heard()
        server.lose(ConnectionLost())
        (frame,) = guest.frames()
        self.assertEqual(frame.kind, Kind.BROKEN)
        self.assertFalse(guest.transport.disconnecting)
        guest.say(passed(1).encode())
        self.assertTrue(guest.transport.disconnecting)
        self.assertEqual(
            (guest.record.reason, guest.record.detail), (Reason.SERVER_RESET, frame.payload.decode())
        )

    def test_faults(self) -> None:
        """Who breaks the rules, or says nothing at all, is cut, and the record says why; it may come back."""
        guest, server, session_id = self.attached("ATTACH new 0 500")
        guest.say(b"PING\r\n")
        guest.transport.settle()
        self.assertEqual(guest.record.reason, Reason.PROTOCOL_ERROR)
        again = self.resumed(session_id)
        again.ask(f"ATTACH {FIRST} 0 500")
        self.clock.pump([BEAT] * BEATS_MISSED)
        self.assertTrue(again.record.may_rest)
        self.clock.advance(BEAT)
        again.transport.settle()
        self.assertEqual(again.record.reason, Reason.IDLE)
        self.assertFalse(again.record.may_rest)
        self.assertTrue(server.connected)
        self.assertEqual(self.figure("detached"), 1)

    def test_fin_on_a_carrier(self) -> None:
        """A FIN is not the end of what lasts, but of what carries it."""
        guest, _, _ = self.attached("ATTACH new 0 500")
        guest.transport.finish()
        self.assertTrue(guest.transport.disconnected)
        guest.transport.settle()
        self.assertEqual(self.figure("detached"), 1)

    def test_bytes_behind_the_end(self) -> None:
        """Whose way has ended in frames has nothing more to say in bytes."""
        guest, server, session_id = self.attached("ATTACH new 0 500")
        guest.say(END.encode())
        guest.lose()
        again = self.resumed(session_id)
        again.ask("ATTACH")
        server.say(b"still")
        self.assertEqual(again.heard(), b"still")
        again.say(b"x")
        self.assertTrue(again.transport.disconnected)
        again.transport.settle()
        self.assertEqual(again.record.reason, Reason.PROTOCOL_ERROR)

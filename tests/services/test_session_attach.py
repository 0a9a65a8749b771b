"""ATTACH: a client's connection is joined to its session's own to a server."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from zope.interface import alsoProvides

from tcpsuite.core.attaching.frames import END, Frame, Kind, broken, passed
from tcpsuite.core.connections import Reason
from tcpsuite.net.attaching import BEAT, BEATS_MISSED
from tcpsuite.net.leases import PooledLease
from tcpsuite.net.relay import MUTE
from tcpsuite.net.session_connections import SessionConnections
from tcpsuite.net.sessions import SessionManager
from tcpsuite.services.session import SessionFactory
from tcpsuite.testing.takers import Taker
from tests.support.attached import BUFFER, TIMEOUT, AttachCase

FIRST, SECOND = "01" * 8, "02" * 8
LOST = "ERR lost there is no such connection any more"


class AskingTests(AttachCase):
    """Who may attach to what."""

    def test_nothing_to_attach_to(self) -> None:
        """Where no upstream is configured, or a program has the connections, ATTACH says so; lines go on."""
        for connections in (None, SessionConnections.of_upstream(self.upstream, Taker)):
            sessions = SessionManager(self.store, self.clock, connections=connections)
            self.factory = SessionFactory(self.clock, sessions, anonymous=True)
            guest, _ = self.opened()
            self.assertRegex(guest.ask("ATTACH"), "^ERR attach .* (here|program's)$")
            self.assertEqual(guest.ask("SET a 1"), "OK")

    def test_session_first(self) -> None:
        """Without a session nobody is attached."""
        self.assertEqual(self.guest().ask("ATTACH"), "ERR no-session OPEN or RESUME a session first")

    def test_words(self) -> None:
        """What cannot be meant is told, and why."""
        guest, _ = self.opened()
        for line in (
            "ATTACH x", "ATTACH NEW", f"ATTACH {FIRST}0", "ATTACH new 1", f"ATTACH {FIRST} -1",
            f"ATTACH {FIRST} x", f"ATTACH {FIRST} {10**18}",
            "ATTACH new 0 0", f"ATTACH new 0 {2**31}", "ATTACH new 0 1 2",
        ):  # fmt: skip
            self.assertRegex(
                guest.ask(line), r"^ERR usage ATTACH \[connection \[received \[window\]\]\]", line
            )
        self.assertEqual(self.endpoints["a"].asked, 0)

    def test_no_server(self) -> None:
        """When no server can be had the client is told why, stays in lines, and may try on and on."""
        guest, _ = self.opened()
        for _ in range(30):
            said = guest.ask("ATTACH")
            while not said:
                for endpoint in self.endpoints.values():
                    if endpoint.connecting:
                        endpoint.refuse()
                self.clock.advance(1.0)
                said = guest.heard().decode()
            self.assertRegex(said, "^ERR attach .")
        self.assertEqual(self.figure("failed"), 30)
        self.assertEqual(guest.ask("SET a 1"), "OK")

    def test_record(self) -> None:
        """The record tells the upstream and the server, of who attaches first and of who comes back."""
        guest, _, session_id = self.attached()
        guest.lose()
        again = self.resumed(session_id)
        again.ask("ATTACH")
        for record in (guest.record, again.record):
            self.assertEqual((record.upstream, record.server), ("db", "a"))
        self.assertEqual([attempt.server for attempt in guest.record.attempts], ["a"])

    def test_lost_while_connecting(self) -> None:
        """A client that is lost before its server is there takes the attempt with it."""
        guest, _ = self.opened()
        guest.ask("ATTACH")
        guest.lose()
        self.assertEqual(self.endpoints["a"].cancelled, 1)
        self.assertEqual(self.figure("made"), 0)

    def test_ended_while_connecting(self) -> None:
        """A session that ends before its server is there leaves no connection."""
        guest, session_id = self.opened()
        guest.ask("ATTACH")
        self.assertEqual(self.resumed(session_id).ask("CLOSE"), "OK")
        server = self.endpoints["a"].accept()
        self.assertRegex(guest.heard().decode(), "^ERR no-session ")
        self.assertTrue(server.disconnected)

    def test_ended_while_waiting(self) -> None:
        """So does one of which somebody else is being attached."""
        one, session_id = self.opened()
        other = self.resumed(session_id)
        for guest in (one, other):
            self.assertEqual(guest.ask("ATTACH"), "")
        self.resumed(session_id).ask("CLOSE")
        self.endpoints["a"].accept()
        for guest in (one, other):
            self.assertRegex(guest.heard().decode(), "^ERR no-session ")

    def test_two_at_once(self) -> None:
        """Of two that come while the server is connected to, the second one takes over from the first."""
        one, session_id = self.opened()
        other = self.resumed(session_id)
        for guest in (one, other):
            self.assertEqual(guest.ask("ATTACH"), "")
        self.endpoints["a"].accept()
        for guest in (one, other):
            self.assertEqual(guest.heard().decode(), f"OK {FIRST} 0 0 1000\n")
        self.assertEqual((one.transport.disconnecting, other.transport.disconnecting), (True, False))
        self.assertEqual((self.figure("made"), self.figure("taken_over")), (1, 1))

    def test_broken_lease(self) -> None:
        """A lease that nothing can be made of is given back, and the client told that the fault is ours."""
        self.patch(PooledLease, "attach", lambda *_: 1 // 0)
        guest, _ = self.opened()
        guest.ask("ATTACH")
        server = self.endpoints["a"].accept()
        self.assertRegex(guest.heard().decode(), "^ERR internal ")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(server.disconnecting)
        self.assertEqual((self.figure("attached"), self.figure("detached")), (0, 0))

    def test_said_ahead(self) -> None:
        """Who has said so much ahead that he is not read is read again when he is attached."""
        guest, _ = self.opened()
        guest.say(b"ATTACH\n" + bytes(100_000))
        self.assertEqual(guest.transport.producerState, "paused")
        server = self.endpoints["a"].accept()
        self.assertEqual(guest.transport.producerState, "producing")
        self.assertEqual(len(server.value()), 100_000)

    def test_execute(self) -> None:
        """A connection that is there to be attached to is no program's."""
        _, session_id = self.opened()
        self.failureResultOf(self.sessions.execute(session_id, lambda _: None, "~"), TypeError)

    def test_repr(self) -> None:
        """What there is to see."""
        guest, _, _ = self.attached()
        self.assertEqual(repr(self.attachments), "<Attachments to db 1 and 0 detached>")
        self.assertIn("<RawCarrier open>", repr(next(iter(self.sessions._own.values()))))
        guest.transport.finish()
        self.assertIn("<RawCarrier finished>", repr(next(iter(self.sessions._own.values()))))


class RawTests(AttachCase):
    """Bytes as they are."""

    def test_both_ways(self) -> None:
        """What follows the line goes to the server, whatever it looks like; what the server says comes behind
        the answer.
        """
        guest, _ = self.opened()
        guest.say(b"ATTACH\nGET / HTTP/1.1\r\nQUIT\n")
        server = self.endpoints["a"].accept()
        server.say(b"+OK\r\n")
        self.assertEqual(guest.heard(), f"OK {FIRST} 0 0 1000\n+OK\r\n".encode())
        guest.say(b"CLOSE\n")
        self.assertEqual(server.value(), b"GET / HTTP/1.1\r\nQUIT\nCLOSE\n")
        self.assertEqual((self.figure("attached"), self.figure("detached")), (1, 0))

    def test_goes_on(self) -> None:
        """Whoever comes back goes on with the same connection, and has what the server has said meanwhile."""
        guest, server, session_id = self.attached()
        guest.say(b"question")
        server.say(b"one ")
        guest.lose()
        server.say(b"two")
        self.assertEqual((self.figure("attached"), self.figure("detached")), (0, 1))
        again = self.resumed(session_id)
        self.assertEqual(again.ask("ATTACH"), f"OK {FIRST} 8 4 1000\ntwo")
        again.say(b"!")
        self.assertEqual(server.value(), b"question!")
        self.assertEqual((self.figure("left"), self.figure("resumed")), (1, 1))

    def test_said_what_arrived(self) -> None:
        """Who says what has arrived gets all behind it, though it was sent before."""
        guest, server, session_id = self.attached()
        server.say(b"abcdef")
        guest.lose()
        again = self.resumed(session_id)
        self.assertEqual(again.ask(f"ATTACH {FIRST} 2"), f"OK {FIRST} 0 2 1000\ncdef")

    def test_not_kept(self) -> None:
        """Of what was sent so much is kept as may be; what is further back, or never was, is lost."""
        guest, server, session_id = self.attached()
        for _ in range(4):
            server.say(bytes(500))
        guest.lose()
        again = self.resumed(session_id)
        self.assertEqual(
            again.ask(f"ATTACH {FIRST} 999"), "ERR lost that is not kept: expected 1000 to 2000, got 999"
        )
        self.assertRegex(again.ask(f"ATTACH {FIRST} 2001"), "^ERR lost ")
        self.assertEqual(len(again.ask(f"ATTACH {FIRST} 1000")), len(f"OK {FIRST} 0 1000 1000\n") + 1000)
        self.assertEqual(self.figure("lost"), 2)

    def test_unknown(self) -> None:
        """A mark that nothing has is lost, whether or not there is another connection."""
        guest, session_id = self.opened()
        self.assertEqual(guest.ask(f"ATTACH {SECOND}"), LOST)
        guest.ask("ATTACH")
        self.endpoints["a"].accept()
        again = self.resumed(session_id)
        self.assertEqual(again.ask(f"ATTACH {SECOND}"), LOST)
        self.assertFalse(guest.transport.disconnecting)
        self.assertEqual(again.ask(f"ATTACH {FIRST}"), f"OK {FIRST} 0 0 1000")

    def test_taken_over(self) -> None:
        """A second one takes over: the first is closed, and its record says why."""
        guest, server, session_id = self.attached()
        again = self.resumed(session_id)
        self.assertEqual(again.ask("ATTACH"), f"OK {FIRST} 0 0 1000")
        self.assertTrue(guest.transport.disconnecting)
        guest.say(b"late")
        guest.transport.settle()
        self.assertEqual(
            (guest.record.reason, guest.record.detail), (Reason.SERVICE_CLOSED, "somebody else attached")
        )
        again.say(b"on")
        self.assertEqual(server.value(), b"on")
        self.assertEqual((self.figure("taken_over"), self.figure("left")), (1, 0))

    def test_new(self) -> None:
        """Who wants a new one gets it; the one before is reset, and its client closed."""
        guest, server, session_id = self.attached()
        again = self.resumed(session_id)
        again.say(b"ATTACH new\nhello")
        self.assertTrue(server.disconnected and guest.transport.disconnecting)
        self.endpoints["a"].settle()
        fresh = self.endpoints["a"].accept()
        self.assertEqual((again.heard().decode(), fresh.value()), (f"OK {SECOND} 0 0 1000\n", b"hello"))
        self.assertEqual(guest.record.reason, Reason.SERVICE_CLOSED)
        self.assertEqual((self.figure("taken_over"), self.figure("attached")), (1, 1))
        again.lose()
        self.resumed(session_id).ask("ATTACH new")
        self.assertTrue(fresh.disconnected)

    def test_servers_fin(self) -> None:
        """The server's FIN is a FIN; with the client's all is over, and the session has no connection."""
        guest, server, session_id = self.attached()
        server.say(b"bye")
        server.finish()
        self.assertEqual((guest.heard(), guest.transport.finished), (b"bye", True))
        guest.protocol.writeConnectionLost()
        guest.say(b"thanks")
        self.assertEqual(server.value(), b"thanks")
        guest.transport.finish()
        self.assertTrue(guest.transport.disconnecting and server.disconnecting)
        self.assertEqual(guest.record.reason, Reason.SERVER_CLOSED)
        self.assertEqual(self.sessions.figures()["connected"], 0)
        self.assertEqual(self.resumed(session_id).ask(f"ATTACH {FIRST}"), LOST)

    def test_clients_fin(self) -> None:
        """The client's FIN is not passed on: it has its answers, and may come back; the server's ends all."""
        guest, server, session_id = self.attached()
        self.assertTrue(guest.record.may_rest)
        guest.say(b"question")
        guest.transport.finish()
        self.assertFalse(guest.record.may_rest)
        self.assertFalse(server.finished)
        server.say(b"answer")
        self.assertEqual(guest.heard(), b"answer")
        guest.transport.lose()
        again = self.resumed(session_id)
        again.ask("ATTACH")
        again.transport.finish()
        server.finish()
        self.assertTrue(again.transport.disconnecting and server.disconnecting)
        self.assertEqual(again.record.reason, Reason.SERVER_CLOSED)

    def test_fin_before_the_answer(self) -> None:
        """A FIN that comes with the line counts as one behind it."""
        guest, _ = self.opened()
        guest.say(b"ATTACH\nquestion")
        guest.transport.finish()
        server = self.endpoints["a"].accept()
        server.say(b"answer")
        self.assertEqual(guest.heard(), f"OK {FIRST} 0 0 1000\nanswer".encode())
        self.assertEqual(server.value(), b"question")
        self.assertFalse(guest.record.may_rest or guest.transport.disconnecting)

    def test_servers_reset(self) -> None:
        """The server's reset is a reset, behind what came before it."""
        guest, server, _ = self.attached()
        server.say(b"last words")
        server.lose(ConnectionLost())
        self.assertFalse(guest.transport.disconnecting)
        self.clock.advance(0)
        self.assertEqual((guest.heard(), guest.transport.disconnected), (b"last words", True))
        self.assertEqual(guest.record.reason, Reason.SERVER_RESET)
        self.assertEqual(self.figure("attached"), 0)

    def test_reset_meanwhile(self) -> None:
        """A server that resets while nobody is there resets whoever comes back, behind what it has said."""
        guest, server, session_id = self.attached()
        guest.lose()
        server.say(b"last words")
        server.lose(ConnectionLost())
        again = self.resumed(session_id)
        self.assertEqual(again.ask("ATTACH"), f"OK {FIRST} 0 0 1000\nlast words")
        self.clock.advance(0)
        self.assertTrue(again.transport.disconnected)

    def test_tls(self) -> None:
        """Over TLS, which has no half-close, the server's FIN closes the client's connection."""
        guest, session_id = self.opened()
        alsoProvides(guest.transport, ISSLTransport)
        guest.ask("ATTACH")
        server = self.endpoints["a"].accept()
        server.say(b"bye")
        server.finish()
        self.assertTrue(guest.transport.disconnecting and server.disconnecting)
        self.assertEqual(guest.heard(), f"OK {FIRST} 0 0 1000\nbye".encode())
        self.assertEqual(self.resumed(session_id).ask(f"ATTACH {FIRST}"), LOST)

    def test_full_server(self) -> None:
        """While the server takes nothing the client is not read, nor the next one."""
        guest, server, session_id = self.attached()
        end: Any = server.producer
        end.pauseProducing()
        self.assertEqual(guest.transport.producerState, "paused")
        end.resumeProducing()
        self.assertEqual(guest.transport.producerState, "producing")
        end.pauseProducing()
        guest.transport.finish()
        guest.lose()
        again = self.resumed(session_id)
        again.ask("ATTACH")
        self.assertEqual(again.transport.producerState, "paused")
        again.transport.finish()
        end.resumeProducing()
        self.assertEqual(
            again.transport.producerState, "paused"
        )  # its FIN has come: there is nothing to read

    def test_full_client(self) -> None:
        """While the client takes nothing so much is kept for it as may be; then the server is not read."""
        guest, server, _ = self.attached()
        producer: Any = guest.transport.producer
        producer.pauseProducing()
        server.say(bytes(BUFFER - 1))
        self.assertEqual((guest.heard(), server.producerState), (b"", "producing"))
        server.say(b"x")
        self.assertEqual(server.producerState, "paused")
        producer.resumeProducing()
        self.assertEqual((len(guest.heard()), server.producerState), (BUFFER, "producing"))
        producer.stopProducing()

    def test_bound_meanwhile(self) -> None:
        """While nobody is there as much is kept; then the server is not read, until somebody is."""
        guest, server, session_id = self.attached()
        guest.lose()
        server.say(bytes(BUFFER))
        self.assertEqual(server.producerState, "paused")
        again = self.resumed(session_id)
        self.assertEqual(len(again.ask("ATTACH")), len(f"OK {FIRST} 0 0 1000\n") + BUFFER)
        self.assertEqual(server.producerState, "producing")


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
            guest, server, _ = self.attached("ATTACH new 0 500")
            if said is None:
                server.finish()
                guest.say(END.encode())
            else:
                guest.say(said.encode())
            self.assertEqual(server.finished or server.disconnected, True)
            server.finish()
            guest.say(passed(1).encode())
            self.assertTrue(guest.transport.disconnecting, reason)
            self.assertEqual(guest.record.reason, reason)
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


class LifeTests(AttachCase):
    """How long the connection to a server stays."""

    def test_given_up(self) -> None:
        """When nobody came back in time it is reset; the session stays, and may have another."""
        guest, server, session_id = self.attached()
        guest.lose()
        self.clock.advance(TIMEOUT - 1)
        self.assertFalse(server.disconnected)
        self.clock.advance(2.0)
        self.assertTrue(server.disconnected)
        server.settle()
        self.assertEqual((self.figure("given_up"), self.figure("detached")), (1, 0))
        again = self.resumed(session_id)
        self.assertEqual(again.ask(f"ATTACH {FIRST}"), LOST)
        again.ask("ATTACH")
        self.endpoints["a"].accept()
        self.assertEqual(again.heard().decode(), f"OK {SECOND} 0 0 1000\n")

    def test_came_back(self) -> None:
        """Whoever came back in time has it for as long as he likes, and the time begins anew behind him."""
        guest, server, session_id = self.attached()
        for _ in range(3):
            guest.lose()
            self.clock.advance(TIMEOUT - 1)
            guest = self.resumed(session_id)
            self.assertRegex(guest.ask("ATTACH"), "^OK ")
            self.clock.advance(3 * TIMEOUT)
        self.assertFalse(server.disconnected)

    def test_gone_and_not_fetched(self) -> None:
        """A server that has gone while nobody is there is not waited for without end."""
        guest, server, _ = self.attached()
        guest.lose()
        server.say(b"x")
        server.finish()
        server.lose()
        self.assertEqual(self.figure("detached"), 1)
        self.clock.advance(TIMEOUT + 1)
        self.assertEqual((self.figure("detached"), self.figure("given_up")), (0, 1))

    def test_session_closed(self) -> None:
        """With its session it ends, for its client too."""
        guest, server, session_id = self.attached()
        self.assertEqual(self.resumed(session_id).ask("CLOSE"), "OK")
        self.assertTrue(server.disconnected and guest.transport.disconnecting)
        self.assertEqual(
            (guest.record.reason, guest.record.detail), (Reason.SERVICE_CLOSED, "the session has ended")
        )

    def test_session_expired(self) -> None:
        """So it does when the session expires; one that is attached does not, however silent it is."""
        self.sessions.start()
        guest, server, _ = self.attached()
        self.clock.pump([100.0] * 30)
        self.assertFalse(server.disconnected)
        self.attachments._timeout = 5000.0
        guest.lose()
        self.clock.pump([100.0] * 14)
        self.assertTrue(server.disconnected)

    def test_server_at_fault(self) -> None:
        """A server that resets before it has said a word is at fault; behind a word it is not."""
        guest, server, _ = self.attached()
        server.lose(ConnectionLost())
        self.assertEqual(guest.record.server_fault, MUTE)
        self.assertEqual(self.servers["a"].resets, 1)
        guest, server, _ = self.attached()
        server.say(b"x")
        server.lose(ConnectionLost())
        self.assertEqual((guest.record.server_fault, self.servers["a"].resets), ("", 1))
        self.clock.advance(0)

    def test_drain(self) -> None:
        """When the process is to end nobody comes back: who has no client is reset, and who loses it."""
        guest, server, _ = self.attached()
        other, others_server, _ = self.attached()
        guest.lose()
        self.attachments.drain()
        self.assertEqual((server.disconnected, others_server.disconnected), (True, False))
        other.lose()
        self.assertTrue(others_server.disconnected)
        self.assertEqual(self.figure("given_up"), 2)


class SharedTests(AttachCase):
    """Where other processes have the same sessions."""

    shared = True

    def test_ended_elsewhere(self) -> None:
        """A session that another process has ended ends here too, by the sweep; one that has not, stays."""
        guest, server, _ = self.attached()
        other, others_server, session_id = self.attached()
        self.sessions.start()
        live = self.successResultOf(self.sessions.resume(session_id, "~"))
        self.successResultOf(self.store.delete(live.session.digest))
        self.clock.advance(60.0)
        self.assertTrue(others_server.disconnected and other.transport.disconnecting)
        self.assertFalse(server.disconnected or guest.transport.disconnecting)

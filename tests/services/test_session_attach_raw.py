"""ATTACH without a window: bytes as they are."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from zope.interface import alsoProvides

from tcpsuite.core.connections import Reason
from tcpsuite.net.attaching.server_end import STATES
from tests.support.attached import BUFFER, FIRST, LOST, SECOND, AttachCase


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
        """A second one takes over: the first is reset, behind what it was sent, and its record says why."""
        guest, server, session_id = self.attached()
        again = self.resumed(session_id)
        self.assertEqual(again.ask("ATTACH"), f"OK {FIRST} 0 0 1000")
        guest.say(b"late")
        self.assertFalse(guest.transport.disconnecting or guest.transport.disconnected)
        self.assertTrue(guest.was_reset)
        guest.transport.settle()
        self.assertEqual(
            (guest.record.reason, guest.record.detail), (Reason.SERVICE_CLOSED, "somebody else attached")
        )
        again.say(b"on")
        self.assertEqual(server.value(), b"on")
        self.assertEqual((self.figure("taken_over"), self.figure("left")), (1, 0))

    def test_new(self) -> None:
        """Who wants a new one gets it; the one before is reset, and so is its client."""
        guest, server, session_id = self.attached()
        again = self.resumed(session_id)
        again.say(b"ATTACH new\nhello")
        self.assertTrue(server.disconnected and guest.was_reset)
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

    def test_server_closed_as_a_whole(self) -> None:
        """A server that has said goodbye and is reset when the client speaks on resets the client."""
        guest, server, session_id = self.attached()
        self.assertTrue(guest.record.may_rest)
        server.say(b"bye")
        server.finish()
        self.assertFalse(guest.record.may_rest)
        self.assertEqual(guest.say(b"and another thing"), b"bye")
        server.lose(ConnectionLost())
        self.clock.advance(0)
        self.assertTrue(guest.transport.disconnected)
        self.assertEqual(guest.record.reason, Reason.SERVER_RESET)
        self.assertEqual(self.resumed(session_id).ask(f"ATTACH {FIRST}"), LOST)

    def test_server_that_takes_nothing(self) -> None:
        """Over TLS a server closes both halves at once: what a client says then resets the client."""
        guest, server, _ = self.attached()
        server.lose()
        self.assertTrue(guest.transport.finished)
        guest.say(b"and another thing")
        self.clock.advance(0)
        self.assertTrue(guest.transport.disconnected)
        self.assertEqual(guest.record.reason, Reason.SERVER_RESET)

    def test_over_behind_the_servers_fin(self) -> None:
        """A client that has heard the server's FIN has all: whatever ends then, it is not reset."""
        guest, server, session_id = self.attached()
        server.finish()
        self.resumed(session_id).ask("CLOSE")
        self.assertTrue(guest.transport.disconnecting)
        self.assertFalse(guest.was_reset)

    def test_clients_fin(self) -> None:
        """The client's FIN is not passed on: it has its answers, and may come back; the server's ends all."""
        guest, server, session_id = self.attached()
        self.assertTrue(guest.record.may_rest)
        guest.say(b"question")
        guest.transport.finish()
        self.assertFalse(guest.record.may_rest)
        self.assertEqual([self.figure(state) for state in STATES], [0, 1, 0])
        self.assertFalse(server.finished)
        server.say(b"answer")
        self.assertEqual(guest.heard(), b"answer")
        guest.transport.lose()
        self.assertEqual([self.figure(state) for state in STATES], [0, 0, 1])
        again = self.resumed(session_id)
        again.ask("ATTACH")
        self.assertEqual([self.figure(state) for state in STATES], [1, 0, 0])
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

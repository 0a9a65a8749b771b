"""ATTACH: a client's connection is joined to its session's own to a server."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost

from tcpsuite.core.connections import Reason
from tcpsuite.net.leases import PooledLease
from tcpsuite.net.relay import MUTE
from tcpsuite.net.session_connections import SessionConnections
from tcpsuite.net.sessions import SessionManager
from tcpsuite.services.session import SessionFactory
from tcpsuite.testing.takers import Taker
from tests.support.attached import FIRST, LOST, SECOND, TIMEOUT, AttachCase


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
        self.assertEqual((one.was_reset, other.was_reset), (True, False))
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
        self.assertEqual(repr(self.attachments), "<Attachments to db attached=1 finished=0 detached=0>")
        self.assertIn("<RawCarrier open>", repr(next(iter(self.sessions._own.values()))))
        guest.transport.finish()
        self.assertIn("<RawCarrier finished>", repr(next(iter(self.sessions._own.values()))))


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
        self.assertFalse(guest.transport.disconnecting)  # a FIN would say that nothing is missing
        self.assertTrue(server.disconnected and guest.was_reset)
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

    def test_forgotten(self) -> None:
        """Of a session that nobody uses, and that has no connection any more, the store alone knows."""
        self.sessions.start()
        guest, server, session_id = self.attached()
        guest.lose()
        self.clock.advance(TIMEOUT - 1)
        self.assertEqual(len(self.sessions._own), 1)
        self.clock.pump([60.0] * 3)
        self.assertEqual(len(self.sessions._own), 0)
        server.settle()
        again = self.resumed(session_id)
        again.ask("ATTACH")
        self.endpoints["a"].accept()
        self.assertRegex(again.heard().decode(), "^OK ")

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
        self.attachments.drain(20.0)
        self.assertEqual((server.disconnected, others_server.disconnected), (True, False))
        other.lose()
        self.assertTrue(others_server.disconnected)
        self.assertEqual(self.figure("given_up"), 2)
        self.attachments.stop()


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
        self.assertTrue(others_server.disconnected and other.was_reset)
        self.assertFalse(server.disconnected or guest.was_reset)

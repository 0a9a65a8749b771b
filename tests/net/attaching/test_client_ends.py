"""How a program's attached connection ends: the client's half, without a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.error import ConnectionLost

from tcpsuite.core.attaching.events import Away, Back, Cut
from tcpsuite.net.attaching.client import GRACE, AttachClient
from tcpsuite.net.attaching.link import STEP
from tcpsuite.net.attaching.succession import OVERLAP
from tcpsuite.options import OptionError
from tcpsuite.testing.endpoints import ScriptedEndpoint
from tests.support.attaching import ID, taken

if TYPE_CHECKING:
    from tcpsuite.testing.endpoints import ScriptedTransport

from tests.net.attaching.client_case import AttachCase


class GivenUpTests(AttachCase):
    """When it cannot go on, the program's connection is reset, and why is told."""

    def reset(self, program: ScriptedTransport) -> str:
        """Why a program was reset."""
        self.assertTrue(program.disconnected)
        program.settle()
        self.run_for(5)
        self.nothing_left()
        event = self.events[-1]
        assert isinstance(event, Cut), event
        return event.why

    def test_patience(self) -> None:
        """When the suite is away for too long, it is over."""
        program = self.program()
        self.suite.away = True
        self.suite.lose()
        self.run_for(59)
        self.assertFalse(program.disconnected)
        self.assertEqual(len(self.events), 1)
        self.run_for(2)
        self.assertEqual(
            self.reset(program),
            "nothing has carried it for 1m, at last: Connection was refused by other side.",
        )

    def test_refused(self) -> None:
        """A refusal that will stay one ends it at once."""
        self.suite.answers["LOGIN"] = "ERR login the user or the password is not right\n"
        program = self.program()
        self.assertEqual(self.reset(program), "the user or the password is not right (login)")
        self.assertEqual(len(self.suite.said), 1)

    def test_refused_for_now(self) -> None:
        """One that may be none the next time is told, and tried again."""
        self.suite.answers["OPEN"] = "ERR store not now\n"
        program = self.program()
        self.assertEqual(str(self.events), str([Away(1, "not now (store)", 60.0)]))
        del self.suite.answers["OPEN"]
        self.run_for(1)
        self.from_program(program, b"x")
        self.assertEqual(taken(self.suite.server), b"x")
        self.leave(program)

    def test_login_that_was_good(self) -> None:
        """A login that was good is tried again: others at the same address may have failed too often."""
        program = self.program()
        self.suite.answers["LOGIN"] = "ERR login too many failures\n"
        self.suite.lose()
        self.run_for(5)
        self.assertFalse(program.disconnected)
        del self.suite.answers["LOGIN"]
        self.run_for(5)
        self.assertEqual([type(event) for event in self.events], [Away, Back])
        self.leave(program)

    def test_login_that_was_good_for_another(self) -> None:
        """A login that was good for one program is tried again for the next."""
        self.leave(self.program())
        self.suite.answers["LOGIN"] = "ERR login too many failures\n"
        program = self.program()
        self.run_for(5)
        self.assertFalse(program.disconnected)
        del self.suite.answers["LOGIN"]
        self.run_for(5)
        self.from_program(program, b"x")
        self.assertEqual(taken(self.suite.server), b"x")
        self.leave(program)

    def test_no_session_service(self) -> None:
        """Somebody else's server is none."""
        for answer in ("220 mail.example.com ESMTP\n", "x" * 20_000, "\xff\n"):
            self.start()
            self.suite.answers["LOGIN"] = answer
            self.assertIn("no session service", self.reset(self.program()))

    def test_restarted(self) -> None:
        """A connection that a suite does not know any more is lost."""
        program = self.program()
        self.suite.mark = "f" * 16
        self.suite.lose()
        self.run_for(1)
        self.assertEqual(self.reset(program), "there is no such connection any more (lost)")

    def test_restarted_at_the_end(self) -> None:
        """Unless both ways had ended: then there was nothing left to lose."""
        program = self.program()
        self.suite.server.say(b"all of it")
        self.suite.server.finish()
        visit = self.suite.visits[0]
        visit.near.say(taken(visit.far))
        program.finish()
        self.suite.mark = "f" * 16
        self.suite.lose()
        self.run_for(1)
        self.assertEqual(taken(program), b"all of it")
        self.assertFalse(program.disconnected)
        self.assertEqual(self.events, [])
        program.settle()

    def test_taken(self) -> None:
        """Who is told that somebody else has attached does not come back."""
        program = self.program()
        carrier = self.suite.visits[0].carrier
        assert carrier is not None
        carrier.taken()
        self.suite.run()
        self.assertEqual(self.reset(program), "somebody else has attached to its session (taken)")

    def test_frames_that_are_none(self) -> None:
        """Who says what cannot be is not believed a second time."""
        program = self.program()
        self.suite.visits[0].far.write(b"HTTP/1.1 500")
        self.suite.run()
        self.run_for(1)
        self.assertIn("(frame)", self.reset(program))

    def test_no_answer(self) -> None:
        """A service that says nothing is tried again."""
        self.suite.answers["LOGIN"] = ""
        self.program()
        self.run_for(STEP + 1)
        self.assertEqual(str(self.events[0]), "connection 1: no answer within 10 s; trying for 1m")
        self.assertGreater(len(self.suite.visits), 1)
        self.client.cut()

    def test_lost_before_the_answer(self) -> None:
        """A dialogue that is cut is begun anew."""
        self.suite.answers["ATTACH"] = ""
        program = self.program()
        del self.suite.answers["ATTACH"]
        self.suite.lose()
        self.run_for(1)
        self.assertIn("the connection was lost before it answered", str(self.events[0]))
        self.assertEqual(self.suite.said[3:], ["LOGIN alice open sesame", f"RESUME {ID}", self.suite.said[2]])
        self.leave(program)

    def test_no_connection(self) -> None:
        """To connect is given up in time, and at once when the program is gone."""
        self.client.endpoint = scripted = ScriptedEndpoint()
        program = self.program()
        self.clock.advance(STEP)
        self.assertEqual(str(self.events[0]), "connection 1: no answer within 10 s; trying for 1m")
        self.clock.advance(0.1)
        self.assertEqual((scripted.asked, scripted.cancelled, scripted.connecting), (2, 1, 1))
        program.lose(ConnectionLost())
        self.assertEqual((scripted.asked, scripted.cancelled, scripted.connecting), (2, 2, 0))
        self.nothing_left()

    def test_fault_of_ours(self) -> None:
        """What should not happen is logged, and no program waits for ever."""
        self.patch(self.suite, "connect", lambda _factory: 1 / 0)
        program = self.program()
        self.assertIn("a fault", self.reset(program))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_fault_of_the_observer(self) -> None:
        """An observer that fails, as when nobody reads what is told, costs no program its connection."""
        self.client.observer = lambda _event: 1 / 0
        self.suite.away = True
        program = self.program()
        self.suite.away = False
        self.run_for(1)
        self.from_program(program, b"x")
        self.assertEqual(taken(self.suite.server), b"x")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.leave(program)

    def test_impossible_session(self) -> None:
        """What can be no session's id is refused when the client is made."""
        self.assertRaises(OptionError, AttachClient, self.clock, self.suite, session="x")


class EndTests(AttachCase):
    """The client ends before its programs do."""

    def test_stop(self) -> None:
        """Programs are reset, their servers too, and their sessions are closed."""
        program, waiting = self.program(), self.program()
        stopped = self.client.stop()
        for each in (program, waiting):
            self.assertTrue(each.disconnected)
            each.settle()
        self.suite.run()
        self.assertEqual(self.suite.said[-2:], [f"RESUME {ID}", "CLOSE"])
        self.successResultOf(stopped)
        self.nothing_left()

    def test_stop_behind_a_program(self) -> None:
        """The server of a program that is gone, and that speaks on, is reset as well."""
        program = self.program()
        program.finish()
        program.lose()
        self.suite.run()
        self.assertFalse(self.suite.server.disconnected)
        stopped = self.client.stop()
        self.suite.run()
        self.assertTrue(self.suite.server.disconnected)
        self.successResultOf(stopped)
        self.nothing_left()

    def test_stop_without_suite(self) -> None:
        """A suite that is away is not waited for longer than the grace."""
        program = self.program()
        self.suite.away = True
        self.suite.lose()
        stopped = self.client.stop()
        program.settle()
        self.run_for(GRACE - 0.5)
        self.assertNoResult(stopped)
        self.run_for(1)
        self.successResultOf(stopped)
        self.nothing_left()

    def test_hurry(self) -> None:
        """Who will not wait for that cuts all, and nothing is left."""
        program = self.program()
        self.suite.visits[0].silent = True
        stopped = self.client.stop()
        program.settle()
        self.client.cut()
        self.successResultOf(stopped)
        self.suite.visits[0].silent = False
        self.suite.run()
        self.nothing_left()
        self.assertNotIn("CLOSE", self.suite.said)

    def test_stop_without_programs(self) -> None:
        """With nothing attached it is over at once."""
        self.successResultOf(self.client.stop())
        self.assertEqual(repr(self.client), "<AttachClient 0 connections of a session each>")


class OneSessionTests(AttachCase):
    """Programs that share one session take turns."""

    session = ID

    def test_second_is_refused(self) -> None:
        """While one is attached, another is reset soon; the first goes on."""
        first, second = self.program(), self.program()
        self.run_for(OVERLAP)
        self.assertTrue(second.disconnected)
        second.settle()
        self.assertEqual(str(self.events[0]), "connection 2 is reset: the session's one connection is in use")
        self.from_program(first, b"x")
        self.assertEqual(taken(self.suite.server), b"x")
        self.leave(first)
        self.assertNotIn("CLOSE", self.suite.said)

    def test_next_one(self) -> None:
        """One that comes when the first has said its last word waits, and has a new connection."""
        first = self.program()
        first.finish()
        second = self.program()
        self.run_for(5 * OVERLAP)
        self.assertEqual(self.suite.mark, "0000000000000001")
        self.from_server(b"late answer")
        self.suite.server.finish()
        self.suite.run()
        self.assertEqual((taken(first), self.suite.mark), (b"late answer", "0000000000000002"))
        first.settle()
        self.from_program(second, b"x")
        self.assertEqual(taken(self.suite.server), b"x")
        self.leave(second)

"""A program's connection that outlives what carries it: the client's half, without a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis.strategies import integers, lists, sampled_from
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.attaching.dialogue import Login
from tcpsuite.core.attaching.events import Away, Back, Cut
from tcpsuite.net.attach_client import GRACE, AttachClient
from tcpsuite.net.attach_client_link import STEP
from tcpsuite.net.attach_client_turns import TURN
from tcpsuite.net.attaching import BEAT, BEATS_MISSED
from tcpsuite.options import OptionError, Secret
from tcpsuite.testing.endpoints import ScriptedEndpoint
from tests.support.attaching import ID, FakeSuite, connected, taken

if TYPE_CHECKING:
    from tcpsuite.core.attaching.events import Event
    from tcpsuite.testing.endpoints import ScriptedTransport

ALICE = Login("alice", Secret("open sesame"))


class AttachCase(SynchronousTestCase):
    """Programs, the client's half, and a suite."""

    session = ""

    def setUp(self) -> None:
        self.start()

    def start(self) -> None:
        """A client of a suite."""
        self.clock = Clock()
        self.suite = FakeSuite(self.clock)
        self.events: list[Event] = []
        self.client = AttachClient(
            self.clock,
            self.suite,
            login=ALICE,
            session=self.session,
            patience=60.0,
            observer=self.events.append,
            chance=lambda: 1.0,
        )

    def program(self) -> ScriptedTransport:
        """A program connects."""
        transport = connected(self.client.buildProtocol(None))
        self.suite.run()
        return transport

    def run_for(self, seconds: float) -> None:
        """Time goes by, and what is said arrives."""
        steps = max(1, round(seconds / 0.05))
        for _ in range(steps):
            self.clock.advance(seconds / steps)
            self.suite.run()

    def from_server(self, data: bytes) -> None:
        """The server says something."""
        self.suite.server.say(data)
        self.suite.run()

    def from_program(self, program: ScriptedTransport, data: bytes) -> None:
        """A program says something."""
        program.say(data)
        self.suite.run()

    def nothing_left(self) -> None:
        """All is as it was before the first program."""
        self.assertEqual((self.client.attachments, self.clock.getDelayedCalls()), (set(), []))

    def leave(self, program: ScriptedTransport) -> None:
        """A program and its server close, in this order."""
        program.finish()
        self.suite.run()
        self.suite.server.finish()
        self.suite.run()
        self.assertTrue(program.disconnecting and not program.disconnected, "closed in order")
        program.settle()


class CarriedTests(AttachCase):
    """What a program says arrives, and what its server says."""

    def test_both_ways(self) -> None:
        """A session is opened for a program, and its connection attached; at the end it is closed."""
        program = self.program()
        self.assertEqual(self.suite.said, ["LOGIN alice open sesame", "OPEN", "ATTACH new 0 262144"])
        self.from_program(program, b"question")
        self.from_server(b"answer")
        self.assertEqual((taken(self.suite.server), taken(program)), (b"question", b"answer"))
        self.leave(program)
        self.assertEqual(self.suite.said[3:], ["LOGIN alice open sesame", f"RESUME {ID}", "CLOSE"])
        self.suite.run()
        self.assertEqual(
            (self.client.attachments, self.clock.getDelayedCalls(), self.events), (set(), [], [])
        )

    def test_closing(self) -> None:
        """A session that cannot be closed now is closed a little later; one that is gone needs not be."""
        program = self.program()
        self.suite.answers["CLOSE"] = "ERR limit too many requests\n"
        self.leave(program)
        self.run_for(0.05)
        self.suite.answers["CLOSE"] = "ERR no-session there is none\n"
        self.run_for(2)
        self.assertEqual(self.suite.said.count("CLOSE"), 2)
        self.nothing_left()
        program = self.program()
        self.suite.away = True
        self.leave(program)
        self.run_for(10)
        self.nothing_left()

    def test_said_before(self) -> None:
        """What a program says before it is attached is kept, and too much is not read."""
        self.suite.away = True
        program = self.program()
        program.say(b"x" * 300_000)
        self.assertEqual(program.producerState, "paused")
        self.suite.away = False
        self.run_for(1)
        self.assertEqual(len(taken(self.suite.server)), 300_000)
        self.assertEqual(program.producerState, "producing")
        self.assertEqual([type(event) for event in self.events], [Away, Back])
        self.assertIn("refused", str(self.events[0]))

    def test_repr(self) -> None:
        """Each tells its state in a line."""
        self.program()
        (attachment,) = self.client.attachments
        self.assertRegex(repr(attachment), "<Attachment 1 <Attached .* by <FramedCarrier open>>>")
        self.assertEqual(repr(self.client), "<AttachClient 1 connections of a session each>")
        link = self.suite.visits[0].near.protocol
        self.assertEqual(repr(link), "<Link <FramedCarrier open>>")
        self.suite.lose()
        self.assertEqual(repr(link), "<Link gone>")

    def test_cut(self) -> None:
        """A carrier that is lost is replaced, and all arrives once, in order; nobody is told."""
        program = self.program()
        for number in range(10):
            program.say(b"%d," % number)
            self.suite.server.say(b"%d;" % number)
            self.suite.visits[-1].run()
            self.suite.lose()
            self.run_for(0.2)
        self.assertEqual(taken(self.suite.server), b"0,1,2,3,4,5,6,7,8,9,")
        self.assertEqual(taken(program), b"0;1;2;3;4;5;6;7;8;9;")
        self.assertEqual(
            self.suite.said[3:6],
            ["LOGIN alice open sesame", f"RESUME {ID}", "ATTACH 0000000000000001 2 262144"],
        )
        self.assertEqual(self.events, [])
        self.leave(program)

    @settings(max_examples=50, deadline=None)
    @given(
        lists(sampled_from(["say", "tell", "run", "cut", "away", "wait"]), max_size=60), integers(1, 100_000)
    )
    def test_whatever_happens(self, steps: list[str], size: int) -> None:
        """However often it is cut, and wherever, both ways arrive whole, and so do their ends."""
        self.start()
        program = self.program()
        said, told = b"", b""
        heard = {"program": b"", "server": b""}
        for number, step in enumerate(steps):
            data = bytes([number % 256]) * size
            match step:
                case "say" if program.producerState == "producing":
                    said += data
                    program.say(data)
                case "tell" if self.suite.server.producerState == "producing":
                    told += data
                    self.suite.server.say(data)
                case "run":
                    self.suite.visits[-1].run()
                case "cut":
                    self.suite.lose()
                case "away":
                    self.suite.away = not self.suite.away
                case "wait":
                    self.run_for(0.5)
            heard["server"] += taken(self.suite.server)
            heard["program"] += taken(program)
        self.suite.away = False
        program.finish()
        self.suite.server.finish()
        self.run_for(10)
        heard["server"] += taken(self.suite.server)
        heard["program"] += taken(program)
        # Their difference would fill a screen, and take a minute to find.
        self.assertTrue(heard["server"] == said and heard["program"] == told)
        self.assertTrue(program.finished and self.suite.server.finished)
        program.settle()
        self.nothing_left()

    def test_reset_of_the_server(self) -> None:
        """A server's reset is the program's, behind all that the server said, and why is told."""
        program = self.program()
        self.suite.server.say(b"last words")
        self.suite.server.lose(ConnectionLost("it fell over"))
        self.suite.run()
        self.assertEqual(taken(program), b"last words")
        self.assertTrue(program.disconnected)
        program.settle()
        self.suite.run()
        self.assertEqual(len(self.events), 1)
        self.assertIn("fell over", str(self.events[0]))
        self.assertEqual(self.suite.said[-1], "CLOSE")

    def test_reset_of_the_program(self) -> None:
        """A program's reset is the server's, though nothing carried it when it came."""
        program = self.program()
        self.suite.lose()
        program.lose(ConnectionLost())
        self.run_for(1)
        self.assertTrue(self.suite.server.disconnected)
        self.suite.server.settle()
        self.assertEqual((self.suite.said[-1], self.client.attachments, self.events), ("CLOSE", set(), []))

    def test_reset_before(self) -> None:
        """Of a program that was gone before the suite knew of it, that hears nothing."""
        self.suite.away = True
        program = self.program()
        program.lose(ConnectionLost())
        self.suite.away = False
        self.run_for(10)
        self.assertEqual((self.suite.said, self.client.attachments), ([], set()))

    def test_silence(self) -> None:
        """A carrier from which nothing comes, not even its end, is given up, and another one goes on."""
        program = self.program()
        self.suite.visits[0].silent = True
        self.from_program(program, b"question")
        self.run_for(BEAT * (BEATS_MISSED + 1) + 1)
        self.suite.visits[0].lose()
        self.run_for(1)
        self.assertEqual(taken(self.suite.server), b"question")
        self.leave(program)


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
        self.run_for(TURN)
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
        self.run_for(5 * TURN)
        self.assertEqual(self.suite.mark, "0000000000000001")
        self.from_server(b"late answer")
        self.suite.server.finish()
        self.suite.run()
        self.assertEqual((taken(first), self.suite.mark), (b"late answer", "0000000000000002"))
        first.settle()
        self.from_program(second, b"x")
        self.assertEqual(taken(self.suite.server), b"x")
        self.leave(second)

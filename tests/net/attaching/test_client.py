"""A program's connection that outlives what carries it: the client's half, without a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis.strategies import integers, lists, sampled_from
from twisted.internet.error import ConnectionLost

from tcpsuite.core.attaching.events import Away, Back
from tcpsuite.net.attaching.carriers import BEAT, BEATS_MISSED
from tests.support.attaching import ID, taken

if TYPE_CHECKING:
    pass

from tests.net.attaching.client_case import AttachCase


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
        self.assertEqual((self.client.carried, self.clock.getDelayedCalls(), self.events), (set(), [], []))

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
        (carried,) = self.client.carried
        self.assertRegex(repr(carried), "<Carried 1 <Attached .* by <FramedCarrier open>>>")
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
        self.assertEqual((self.suite.said[-1], self.client.carried, self.events), ("CLOSE", set(), []))

    def test_killed(self) -> None:
        """Of a program that is killed while its server speaks the server is reset."""
        program = self.program()
        program.finish()
        self.suite.run()
        self.assertFalse(self.suite.server.disconnected)
        self.from_server(b"still")
        program.lose(ConnectionLost())
        self.suite.run()
        self.assertTrue(self.suite.server.disconnected)
        self.assertEqual((self.suite.said[-1], self.client.carried), ("CLOSE", set()))

    def test_reset_before(self) -> None:
        """Of a program that was gone before the suite knew of it, that hears nothing."""
        self.suite.away = True
        program = self.program()
        program.lose(ConnectionLost())
        self.suite.away = False
        self.run_for(10)
        self.assertEqual((self.suite.said, self.client.carried), ([], set()))

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

"""How long a server takes to answer."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net.first_byte import MOST_ASKED, FirstByte


class FirstByteTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100.0)
        self.passed: list[tuple[str, bytes]] = []
        self.times: list[float] = []
        self.first = FirstByte(self.clock, self.answered, lambda: self.passed.append(("over", b"")))
        self.ask = self.first.to_server(lambda data: self.passed.append(("server", data)))
        self.answer = self.first.to_client(lambda data: self.passed.append(("client", data)))

    def answered(self, seconds: float) -> None:
        self.times.append(seconds)
        self.passed.append(("told", b""))

    def test_from_the_question(self) -> None:
        """A server that is asked takes from the first byte of the question to the first of its answer."""
        self.clock.advance(5.0)
        self.ask(b"que")
        self.clock.advance(1.0)
        self.ask(b"stion")
        self.clock.advance(0.5)
        self.answer(b"answer")
        self.assertEqual(self.times, [1.5])

    def test_from_the_connection(self) -> None:
        """A server that speaks first takes from its connection on."""
        self.clock.advance(0.25)
        self.answer(b"220 hello")
        self.assertEqual(self.times, [0.25])

    def test_told_once(self) -> None:
        """Only the first byte of the server is timed, whatever is asked later."""
        self.answer(b"220 hello")
        self.clock.advance(1.0)
        self.ask(b"question")
        self.clock.advance(1.0)
        self.answer(b"answer")
        self.assertEqual(self.times, [0.0])

    def test_all_passes(self) -> None:
        """Everything is passed on as it comes, and the answer before anybody is told of it."""
        self.ask(b"one")
        self.answer(b"two")
        self.ask(b"three")
        self.answer(b"four")
        told = [
            ("server", b"one"),
            ("client", b"two"),
            ("told", b""),
            ("over", b""),
            ("server", b"three"),
            ("client", b"four"),
        ]
        self.assertEqual(self.passed, told)

    def test_says_its_state(self) -> None:
        """Its ``repr`` says how far it is."""
        states = [repr(self.first)]
        self.ask(b"question")
        states.append(repr(self.first))
        self.answer(b"answer")
        states.append(repr(self.first))
        self.assertEqual(states, ["<FirstByte connected>", "<FirstByte asked>", "<FirstByte over>"])

    def test_no_answer_to_come(self) -> None:
        """Behind a client that has said much and had no answer nobody waits for one any more."""
        self.ask(b"x" * MOST_ASKED)
        self.assertNotIn(("over", b""), self.passed)
        self.ask(b"x")
        self.ask(b"x")
        self.answer(b"thanks")
        self.assertEqual([what for what, _ in self.passed if what in ("told", "over")], ["over"])
        self.assertEqual(repr(self.first), "<FirstByte over>")

"""A client that is connected."""

from __future__ import annotations

from typing import Any, cast

from tcpsuite.core.messages.framing import framed
from tcpsuite.errors import RequestFailed
from tests.net.client.case import ClientCase
from tests.net.client.pair import Pair
from tests.services.asking import note


class AskingTests(ClientCase):
    """While all is well."""

    def setUp(self) -> None:
        self.pair = Pair()
        self.client = self.pair.start()
        self.slow = self.pair.service.slow

    def tearDown(self) -> None:
        self.over(self.pair)

    def test_answers(self) -> None:
        """Any number at once, answered as they are ready."""
        first = self.client.request("slow", b"one")
        answers = [self.client.request("echo", b"%d" % number) for number in range(100)]
        self.pair.carry()
        self.assertNoResult(first)
        self.assertEqual(
            [self.successResultOf(answer) for answer in answers], [b"%d" % n for n in range(100)]
        )
        self.slow.answers[0].callback(b"done")
        self.pair.carry()
        self.assertEqual(self.successResultOf(first), b"done")
        self.assertEqual(repr(self.client), "<Client connected asked=0 waiting=0>")

    def test_refused(self) -> None:
        """An error is raised with its code."""
        answer = self.client.request("nope")
        self.pair.carry()
        error = self.failureResultOf(answer, RequestFailed).value
        self.assertEqual((error.code, str(error)), ("unknown", "there is no method 'nope'"))

    def test_bad_arguments(self) -> None:
        """What cannot be sent is refused at once, and leaves nothing behind."""
        self.assertRaises(ValueError, self.client.request, "x" * 256)
        self.assertRaises(TypeError, self.client.request, "echo", "text")
        answer = self.client.request("echo", cast("Any", bytearray(b"bytes of a kind")))
        self.pair.carry()
        self.assertEqual(self.successResultOf(answer), b"bytes of a kind")

    def test_time_out(self) -> None:
        """A request has its time, here and there: past it nobody waits, and its method is cancelled."""
        answer, other = self.client.request("slow", timeout=2.0), self.client.request("slow", timeout=60.0)
        endless = self.client.request("slow", timeout=0)
        self.pair.carry()
        self.pair.settle(1.9)
        self.assertNoResult(answer)
        self.pair.settle(0.2)
        self.assertTrue(self.lost(answer))
        self.assertEqual(self.slow.cancelled, 1)
        self.pair.settle(60)
        self.assertTrue(self.lost(other))
        self.assertNoResult(endless)
        self.slow.answers[2].callback(b"at last")
        self.pair.carry()
        self.assertEqual(self.successResultOf(endless), b"at last")

    def test_late_there(self) -> None:
        """So it is when the service is the first to see it."""
        answer = self.client.request("slow")
        self.pair.carry()
        self.slow.answers[0].errback(RequestFailed("late", "its time was over"))
        self.pair.carry()
        self.assertTrue(self.lost(answer))

    def test_cancel(self) -> None:
        """To cancel a request cancels its method."""
        answer = self.client.request("slow")
        self.pair.carry()
        answer.addErrback(lambda _: "cancelled")
        answer.cancel()
        self.pair.carry()
        self.assertEqual((self.successResultOf(answer), self.slow.cancelled), ("cancelled", 1))

    def test_notes(self) -> None:
        """Notes are heard in order, one or several together, and nobody answers."""
        self.successResultOf(self.client.send("slow", b"one"))
        self.successResultOf(self.client.send("slow", b"two", b"three"))
        self.pair.carry()
        self.assertEqual(self.slow.bodies, [b"one", b"two", b"three"])

    def test_notes_back(self) -> None:
        """What the service sends waits until it is received."""
        first = self.client.receive()
        answer = self.client.request("generate", b"3 2")
        self.pair.carry()
        self.assertEqual(self.successResultOf(answer), b"2")
        for heard in (first, self.client.receive()):
            self.assertEqual(self.successResultOf(heard), ("generate", bytes(3)))
        waiting = self.client.receive()
        waiting.addErrback(lambda _: None)
        waiting.cancel()

    def test_too_many_notes(self) -> None:
        """When a thousand wait nothing more is read, until half of them are taken."""
        near, _ = self.pair.links[0]
        near.say(note("n") * 1000)
        self.assertEqual(near.producerState, "paused")
        for _ in range(500):
            self.assertEqual(near.producerState, "paused")
            self.successResultOf(self.client.receive())
        self.assertEqual(near.producerState, "producing")

    def test_alone(self) -> None:
        """A large request goes on a connection of its own, which the next one uses again."""
        for large in (bytes(100_000), b"small, but told so"):
            answer = self.client.request("echo", large, alone=len(large) < 100)
            self.pair.settle()
            self.assertEqual(self.successResultOf(answer), large)
        self.assertEqual([far.transport.connected for _, far in self.pair.links], [True, True])

    def test_alone_given_up(self) -> None:
        """One that was given up half-way takes its connection with it."""
        answer = self.client.request("slow", alone=True, timeout=1.0)
        self.pair.settle()
        self.pair.settle(1.1)
        self.assertTrue(self.lost(answer))
        self.pair.settle()
        self.assertEqual((len(self.pair.links), self.slow.cancelled), (1, 1))

    def test_alone_lost(self) -> None:
        """When its connection is lost the others go on; sent again, it has another one."""
        once = self.client.request("slow", alone=True)
        again = self.client.request("slow", alone=True, repeat=True)
        small = self.client.request("slow")
        self.pair.settle()
        self.pair.lose()
        self.pair.lose()
        self.pair.settle(1)
        self.assertTrue(self.lost(once))
        self.slow.answers[-1].callback(b"again")
        self.slow.answers[0].callback(b"small")
        self.pair.settle()
        self.assertEqual((self.successResultOf(small), self.successResultOf(again)), (b"small", b"again"))

    def test_stream(self) -> None:
        """Another stream to the same place, for messages of any meaning."""
        opening = self.client.stream()
        self.pair.accept()
        stream = self.successResultOf(opening)
        near, _ = self.pair.links[1]
        stream.send(b"one", b"two")
        self.assertEqual(near.value(), framed(b"one") + framed(b"two"))
        near.clear()
        near.say(framed(b"three") + framed(b"four"))
        self.assertEqual(self.successResultOf(stream.receive()), b"three")
        closing = stream.close()
        near.settle()
        self.assertEqual(self.successResultOf(closing), None)
        self.assertEqual(self.successResultOf(stream.receive()), b"four")
        self.failureResultOf(stream.receive())

    def test_received(self) -> None:
        """Who gives a callable has it called with each note; what it raises is its own fault."""
        heard: list[Any] = []

        def hear(method: str, body: bytes) -> None:
            heard.append((method, body))
            raise ValueError(body)

        pair = Pair(received=hear)
        answer = pair.start().request("generate", b"1 2")
        pair.carry()
        self.assertEqual((self.successResultOf(answer), heard), (b"2", [("generate", b"\0")] * 2))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)
        self.over(pair)

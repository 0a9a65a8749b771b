"""A client that is not connected, or not any more."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionRefusedError as Refused

from tcpsuite.core.messages.framing import framed
from tcpsuite.core.messages.wire import LEAVING
from tcpsuite.errors import Closed, ConnectFailed, OutOfResources, RequestLost
from tcpsuite.net.client import WhenFull
from tests.net.client.case import ClientCase
from tests.net.client.pair import Pair


class AwayTests(ClientCase):
    """While there is no connection, or it takes no more."""

    def test_first_attempt(self) -> None:
        """When the first attempt fails that is told, and there is no other."""
        pair = Pair()
        starting = pair.client.start()
        pair.endpoint.refuse(Refused())
        self.failureResultOf(starting, ConnectFailed)
        self.failureResultOf(pair.client.request("echo"), Closed)
        self.failureResultOf(pair.client.send("echo", b""), Closed)
        self.assertEqual(pair.clock.getDelayedCalls(), [])

    def test_first_attempt_takes_too_long(self) -> None:
        """So it is when it takes too long; and when who wanted it does so no more."""
        pair = Pair(connect_timeout=5.0)
        starting = pair.client.start()
        pair.clock.advance(5)
        self.failureResultOf(starting, ConnectFailed)
        pair = Pair()
        starting = pair.client.start()
        starting.cancel()
        self.failureResultOf(starting)
        self.assertEqual((pair.endpoint.cancelled, pair.clock.getDelayedCalls()), (1, []))

    def test_waits(self) -> None:
        """What is asked while it is away is sent when it is back, in order."""
        pair = Pair()
        client = pair.start()
        pair.lose()
        answers = [client.request("echo", b"%d" % number) for number in range(3)]
        sent = client.send("slow", b"note")
        self.assertEqual(
            client.stats(), {"connected": 0, "asked": 3, "waiting": 4, "dropped": 0, "connects": 1}
        )
        self.successResultOf(sent)
        pair.settle(0.1)
        self.assertEqual([self.successResultOf(answer) for answer in answers], [b"0", b"1", b"2"])
        self.assertEqual(pair.service.slow.bodies, [b"note"])
        self.over(pair)

    def test_back_off(self) -> None:
        """Each wait is longer than the one before, by chance; a connection that lasts begins anew."""
        pair = Pair(seed=3)
        pair.start()
        pair.lose()
        waits = []
        for _ in range(12):
            (call,) = pair.clock.getDelayedCalls()
            waits.append(call.getTime() - pair.clock.seconds())
            pair.clock.advance(waits[-1])
            pair.endpoint.refuse()
        longest = [min(30.0, 0.1 * 2**number) for number in range(12)]
        self.assertTrue(all(0 <= wait <= most for wait, most in zip(waits, longest, strict=True)), waits)
        self.assertGreater(max(waits), 10)
        pair.settle(30)
        pair.clock.advance(30.1)
        pair.lose()
        (call,) = pair.clock.getDelayedCalls()
        self.assertLessEqual(call.getTime() - pair.clock.seconds(), 0.1)
        self.over(pair)

    def test_at_most_once(self) -> None:
        """What had been sent is not sent again: it fails, and may have run; what had not is sent."""
        pair = Pair()
        client = pair.start()
        sent = client.request("slow", b"sent")
        pair.carry()
        pair.lose()
        waiting = client.request("slow", b"waiting")
        self.assertTrue(self.lost(sent))
        pair.settle(1)
        self.assertEqual(pair.service.slow.bodies, [b"sent", b"waiting"])
        self.assertNoResult(waiting)
        self.assertFalse(pair.close() == [])
        self.assertTrue(self.lost(waiting))

    def test_never_sent(self) -> None:
        """What was never sent has not run: when its time is over, or it is cancelled, it never will."""
        pair = Pair()
        client = pair.start()
        pair.lose()
        answer, cancelled = client.request("slow", timeout=0.01), client.request("slow")
        cancelled.addErrback(lambda _: "cancelled")
        cancelled.cancel()
        pair.clock.advance(0.01)
        self.assertFalse(self.lost(answer))
        pair.settle(10)
        self.assertEqual((pair.service.slow.bodies, self.successResultOf(cancelled)), ([], "cancelled"))
        last = client.request("slow")
        pair.lose()
        unsent = client.request("slow")
        self.over(pair)
        self.assertEqual((self.lost(last), self.lost(unsent)), (True, False))

    def test_repeated(self) -> None:
        """A request that may be repeated is, and its method is called once."""
        pair = Pair()
        client = pair.start()
        answers = [client.request("slow", b"%d" % number, repeat=True) for number in range(3)]
        pair.carry()
        pair.lose()
        pair.service.slow.answers[0].callback(b"while it was away")
        pair.settle(1)
        pair.service.slow.answers[1].callback(b"later")
        pair.carry()
        self.assertEqual(self.successResultOf(answers[0]), b"while it was away")
        self.assertEqual(self.successResultOf(answers[1]), b"later")
        self.assertEqual(pair.service.slow.bodies, [b"0", b"1", b"2"])
        self.over(pair)
        self.lost(answers[2])

    def test_queue_full(self) -> None:
        """Past its bound the queue has who sends wait, drops the oldest, or fails."""
        for when_full in WhenFull:
            pair = Pair(queue_messages=2, when_full=when_full)
            client = pair.start()
            pair.lose()
            first = client.request("slow", b"first")
            self.successResultOf(client.send("slow", b"second"))
            third, fourth = client.send("slow", b"third"), client.request("slow", b"fourth")
            fourth.addErrback(lambda failure: failure.type)
            if when_full is WhenFull.FAIL:
                self.failureResultOf(third, OutOfResources)
                self.assertIs(self.successResultOf(fourth), OutOfResources)
            elif when_full is WhenFull.DROP_OLDEST:
                self.assertFalse(self.lost(first))
                self.successResultOf(third)
            else:
                self.assertNoResult(third)
            pair.settle(1)
            heard = [b"first", b"second", b"third", b"fourth"]
            kept = {WhenFull.FAIL: heard[:2], WhenFull.DROP_OLDEST: heard[2:], WhenFull.BLOCK: heard}
            self.assertEqual(pair.service.slow.bodies, kept[when_full])
            first.addErrback(lambda _: None)
            self.over(pair)

    def test_close_while_waiting(self) -> None:
        """Who waits for room when it is closed hears of it; who gave that up does not."""
        pair = Pair(queue_messages=1)
        client = pair.start()
        pair.lose()
        client.send("slow", b"in")
        waiting, given_up = client.send("slow", b"out"), client.send("slow", b"out")
        given_up.addErrback(lambda _: None)
        given_up.cancel()
        receiving = client.receive()
        self.over(pair)
        self.failureResultOf(waiting, Closed)
        self.failureResultOf(receiving, Closed)
        self.assertEqual(pair.close(), [None])

    def test_full(self) -> None:
        """While the connection takes no more, what is asked waits; when it does, that goes first."""
        pair = Pair()
        client = pair.start()
        lane: Any = client._lane
        lane.pauseProducing()
        answer = client.request("echo", b"a")
        client.send("slow", b"b")
        pair.carry()
        self.assertEqual((len(client._backlog), pair.service.slow.bodies), (2, []))
        lane.resumeProducing()
        pair.carry()
        self.assertEqual((self.successResultOf(answer), pair.service.slow.bodies), (b"a", [b"b"]))
        self.over(pair)

    def test_closed_from_within(self) -> None:
        """Who hears that a request is lost may close the client at once, and cancel others."""
        pair = Pair()
        client = pair.start()
        first, second = client.request("slow"), client.request("slow")
        closed: list[Any] = []

        def end(_: Any) -> None:
            second.cancel()
            client.close().addCallback(closed.append)

        first.addErrback(end)
        second.addErrback(lambda _: "cancelled")
        pair.carry()
        pair.lose()
        self.assertEqual((closed, self.successResultOf(second)), ([None], "cancelled"))
        self.over(pair)

    def test_leaving(self) -> None:
        """When the service goes, what it has in hand is answered, and all else is asked elsewhere."""
        pair = Pair()
        client = pair.start()
        answer = client.request("slow")
        pair.carry()
        pair.links[0][0].say(LEAVING)
        other = client.request("echo", b"elsewhere")
        pair.settle(1)
        self.assertEqual((self.successResultOf(other), len(pair.links)), (b"elsewhere", 2))
        pair.service.slow.answers[0].callback(b"last")
        pair.settle()
        self.assertEqual((self.successResultOf(answer), len(pair.links)), (b"last", 1))
        pair.links[0][0].say(LEAVING)
        pair.settle(1)
        self.assertEqual(len(pair.links), 1)
        self.over(pair)

    def test_no_message_service(self) -> None:
        """What answers something else is left, and asked again later; why is told."""
        for said, told in (
            (b"HTTP/1.1 400 Bad Request\r\n", "no message service"),
            (framed(b"\x03\0\0\0\0\x08too-longwhy"), "too-long: why"),
            (framed(b"\x09"), "no message service"),
        ):
            pair = Pair()
            answer = pair.start().request("echo")
            near, _ = pair.links.pop()
            near.say(said)
            near.settle() if near.disconnected else near.lose()
            self.assertIn(told, str(self.failureResultOf(answer, RequestLost).value))
            self.over(pair)

    def test_sign_of_life(self) -> None:
        """A quiet client says so from time to time, which nobody answers."""
        pair = Pair(sign_of_life=60.0)
        pair.start()
        for _ in range(3):
            pair.clock.advance(60)
            self.assertEqual(len(pair.links[0][0].value()), 9)
            pair.carry()
        self.assertEqual(len(pair.links), 1)
        self.over(pair)

    def test_peer_that_does_not_go(self) -> None:
        """Closing waits for what was sent to leave, and for no longer than to connect."""
        pair = Pair(connect_timeout=5.0)
        client = pair.start()
        near, _ = pair.links[0]
        closing = client.close()
        pair.clock.advance(4)
        self.assertFalse(near.disconnected)
        pair.clock.advance(1)
        near.settle()
        self.successResultOf(closing)


class CutTests(ClientCase):
    """A conversation of requests and notes, cut at every byte of it."""

    def test_cut(self) -> None:
        """Each request is answered, or fails and says so; those that may be repeated are answered, and no
        method ran twice for one.
        """
        size = 0
        for cut in range(1, 1000):
            pair = Pair(cut)
            client = pair.start()
            once = [client.request("slow", b"once %d" % number) for number in range(2)]
            again = [client.request("slow", b"again %d" % number, repeat=True) for number in range(2)]
            echoed = client.request("echo", b"echo", repeat=True)
            pair.carry()
            pair.settle(1)
            for number, deferred in enumerate(pair.service.slow.answers):
                if not deferred.called:
                    deferred.callback(pair.service.slow.bodies[number])
            pair.carry()
            pair.settle(1)
            self.assertEqual(self.successResultOf(echoed), b"echo", cut)
            for number, answer in enumerate(again):
                self.assertEqual(self.successResultOf(answer), b"again %d" % number, cut)
                self.assertEqual(pair.service.slow.bodies.count(b"again %d" % number), 1, cut)
            for number, answer in enumerate(once):
                outcome: Any = answer
                outcome.addErrback(lambda failure: failure.value.may_have_run)
                self.assertIn(self.successResultOf(outcome), (True, b"once %d" % number), cut)
                self.assertLessEqual(pair.service.slow.bodies.count(b"once %d" % number), 1, cut)
            self.over(pair)
            if pair._left < 1 << 29:
                size = cut
                break
        self.assertGreater(size, 100)

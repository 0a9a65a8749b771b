"""The message service, on a transport of strings."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.connections import Ledger, Reason
from tcpsuite.core.limits import Limits
from tcpsuite.core.messages import wire
from tcpsuite.core.messages.framing import framed
from tcpsuite.core.messages.wire import Kind
from tcpsuite.errors import RequestFailed, StoreFailed
from tcpsuite.options import OptionError
from tcpsuite.services.calling import LINGER
from tcpsuite.services.message import MessageOptions, build, example
from tcpsuite.services.methods import MOST_GENERATED
from tcpsuite.testing.contexts import FakeContext
from tests.services.asking import KEY, Service, note, request
from tests.services.test_over_limit import service_limits


class BuiltInTests(SynchronousTestCase):
    """The methods that are there without."""

    def setUp(self) -> None:
        self.service = Service()
        self.client = self.service.connect()

    def test_echo_and_discard(self) -> None:
        """Echo gives the body back, of any size; discard takes it."""
        large = bytes(300_000)
        self.assertEqual(self.client.ask(1, "echo", b"hello"), [(1, b"hello")])
        self.assertEqual(self.client.ask(2, "echo", large), [(2, large)])
        self.assertEqual(self.client.ask(3, "discard", b"hello"), [(3, b"")])

    def test_time(self) -> None:
        """The time is that of the machine."""
        ((_, said),) = self.client.ask(1, "time")
        ago = datetime.now(UTC) - datetime.fromisoformat(said.decode())
        self.assertLess(abs(ago.total_seconds()), 60)

    def test_generate(self) -> None:
        """So many bytes; or so many notes of them, and then how many there were."""
        self.assertEqual(self.client.ask(1, "generate", b"5"), [(1, bytes(5))])
        notes = [(b"generate", bytes(3))] * 2
        self.assertEqual(self.client.ask(2, "generate", b"3 2"), [*notes, (2, b"2")])
        for body in (b"", b"x", b"-1", b"1 2 3", b"%d" % (MOST_GENERATED + 1)):
            self.assertEqual(self.client.ask(3, "generate", body), [(3, "usage")], body)

    def test_generate_waits(self) -> None:
        """Who does not read is sent no more than fits."""
        self.fill()
        batch = (b"generate", bytes(100_000))
        self.assertEqual(self.client.ask(1, "generate", b"100000 3"), [batch])
        for heard in ([batch], [batch], [(1, b"3")]):
            self.client.protocol.resumeProducing()
            self.assertEqual(self.client.heard(), heard)

    def test_generate_for_nobody(self) -> None:
        """It ends when its client does."""
        self.fill()
        self.client.ask(1, "generate", b"100000 1000000")
        self.client.transport.lose(ConnectionLost())
        self.assertEqual(self.service.factory.callers, set())
        self.assertEqual(self.service.factory.stats()["methods"]["generate"], {"calls": 1, "failed": 0})

    def fill(self) -> None:
        """From now on the client takes one batch, and then no more until it is asked to."""
        transport, write = self.client.transport, self.client.transport.write

        def write_and_be_full(data: bytes) -> None:
            write(data)
            self.client.protocol.pauseProducing()

        self.patch(transport, "write", write_and_be_full)

    def test_stats(self) -> None:
        """What was called, how often, and what failed."""
        self.client.ask(1, "echo")
        self.client.ask(2, "generate", b"x")
        self.client.ask(3, "slow")
        self.client.transport.say(note("nobody's"))
        ((_, said),) = self.client.ask(4, "stats")
        self.assertEqual(
            json.loads(said),
            {
                "methods": {
                    "echo": {"calls": 1, "failed": 0},
                    "generate": {"calls": 1, "failed": 1},
                    "slow": {"calls": 1, "failed": 0},
                    "stats": {"calls": 1, "failed": 0},
                },
                "streams": 1, "under_way": 1, "lost_notes": 1, "repeated": 0, "answers_kept": 0,
            },
        )  # fmt: skip


class RequestTests(SynchronousTestCase):
    """Requests of methods that take their time, or fail."""

    def setUp(self) -> None:
        self.service = Service(max_requests_in_hand=3)
        self.slow = self.service.slow
        self.client = self.service.connect()

    def test_overtaking(self) -> None:
        """Answers come as they are ready, whatever was asked first; all of a read leave together."""
        self.client.transport.say(request(1, "slow", b"one") + request(2, "slow") + request(3, "echo", b"x"))
        self.assertEqual(self.client.heard(), [(3, b"x")])
        self.slow.answers[1].callback(None)
        self.slow.answers[0].callback(bytearray(b"done"))
        self.assertEqual(self.client.heard(), [(2, b""), (1, b"done")])
        self.assertEqual(repr(self.client.protocol), "<Caller running=0 held=0>")

    def test_every_split(self) -> None:
        """Cut anywhere, requests are the same."""
        data = request(1, "echo", b"one") + note("slow", b"n") + request(2, "echo", b"two", client=bytes(16))
        for cut in range(len(data)):
            client = Service().connect()
            client.transport.say(data[:cut])
            client.transport.say(data[cut:])
            self.assertEqual(client.heard(), [(1, b"one"), (2, b"two")])
            self.assertEqual(client.service.slow.bodies, [b"n"])
            client.transport.lose()
            self.assertEqual(client.service.clock.getDelayedCalls(), [])

    def test_notes(self) -> None:
        """A note is called as a request is, and nobody is told what came of it, in time or later."""
        for method in ("echo", "discard", "failing", "slow", "slow", "slow"):
            self.client.transport.say(note(method, b"x"))
        self.slow.answers[0].callback(b"y")
        self.slow.answers[1].errback(ValueError("z"))
        self.slow.answers[2].callback(None)
        self.assertEqual(self.client.heard(), [])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)
        self.assertEqual(self.client.ask(1, "echo"), [(1, b"")])

    def test_unknown(self) -> None:
        """A method that there is not is an error; the next request is answered."""
        self.assertEqual(self.client.ask(1, "nope"), [(1, "unknown")])
        self.assertEqual(self.client.ask(2, "echo"), [(2, b"")])

    def test_our_fault(self) -> None:
        """A method that raises, or returns what is no bytes, is in the log, and its client learns no more."""
        self.assertEqual(self.client.ask(1, "failing"), [(1, "internal")])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.client.ask(2, "slow")
        self.client.ask(3, "slow")
        self.slow.answers[0].errback(ValueError("why"))
        self.slow.answers[1].callback("text")
        self.assertEqual(self.client.heard(), [(2, "internal"), (3, "internal")])
        self.assertEqual(len(self.flushLoggedErrors(ValueError, TypeError)), 2)

    def test_their_fault(self) -> None:
        """What a method refuses is answered with its code; another one's failure with failed."""
        self.client.ask(1, "slow")
        self.client.ask(2, "slow")
        self.slow.answers[0].errback(RequestFailed("no-such-book", "we have three"))
        self.slow.answers[1].errback(StoreFailed("away"))
        self.assertEqual(self.client.heard(), [(1, "no-such-book"), (2, "failed")])

    def test_deadline(self) -> None:
        """When the time of a request is over its method is cancelled, and its client told."""
        self.client.ask(1, "slow", timeout=2000)
        self.service.clock.advance(1.9)
        self.assertEqual((self.client.heard(), self.slow.cancelled), ([], 0))
        self.service.clock.advance(0.2)
        self.assertEqual((self.client.heard(), self.slow.cancelled), ([(1, "late")], 1))
        self.client.ask(2, "slow", timeout=2000)
        self.slow.answers[1].callback(b"in time")
        self.assertEqual(self.client.heard(), [(2, b"in time")])
        self.assertEqual(self.service.clock.getDelayedCalls(), [])

    def test_cancel(self) -> None:
        """A cancel has the method cancelled, and nothing answered; one that comes too late does nothing."""
        self.client.ask(1, "slow", timeout=2000)
        self.client.transport.say(wire.cancel(1) + wire.cancel(1) + wire.cancel(77))
        self.assertEqual((self.slow.cancelled, self.client.heard()), (1, []))
        self.assertEqual(self.client.ask(1, "echo"), [(1, b"")])
        self.assertEqual(self.service.clock.getDelayedCalls(), [])

    def test_vanished(self) -> None:
        """What a client that is gone has asked for is cancelled."""
        self.client.ask(1, "slow", timeout=2000)
        self.client.transport.say(note("slow"))
        self.client.transport.lose(ConnectionLost())
        self.assertEqual((self.slow.cancelled, self.service.factory.callers), (2, set()))
        self.assertEqual(self.service.clock.getDelayedCalls(), [])

    def test_half_close(self) -> None:
        """Who sends no more is answered first."""
        self.client.ask(1, "slow")
        self.client.transport.finish()
        self.assertFalse(self.client.transport.disconnecting)
        self.slow.answers[0].callback(b"last")
        self.assertEqual(self.client.heard(), [(1, b"last")])
        self.assertTrue(self.client.transport.disconnecting)

    def test_busy(self) -> None:
        """Past the requests that may be under way each is refused; notes are lost, and counted."""
        for number in (1, 2, 3):
            self.client.ask(number, "slow")
        self.assertEqual(self.client.ask(4, "echo"), [(4, "busy")])
        self.client.transport.say(note("echo"))
        self.assertEqual(self.service.factory.lost_notes, 1)
        self.slow.answers[0].callback(b"")
        self.assertEqual(self.client.ask(4, "echo"), [(1, b""), (4, b"")])

    def test_full(self) -> None:
        """Who does not read its answers is not read, and what has come waits."""
        self.client.protocol.pauseProducing()
        self.assertEqual(self.client.transport.producerState, "paused")
        self.client.transport.say(request(1, "echo", b"a") + request(2, "echo", b"b"))
        self.client.transport.say(request(3, "echo", b"c"))
        self.assertEqual(
            (self.client.heard(), repr(self.client.protocol)), ([], "<Caller running=0 held=3 full>")
        )
        self.client.transport.finish()
        self.client.protocol.resumeProducing()
        self.assertEqual(self.client.heard(), [(1, b"a"), (2, b"b"), (3, b"c")])
        self.assertTrue(self.client.transport.disconnecting)

    def test_leaving(self) -> None:
        """When the service stops its clients are told to go elsewhere, and what they ask is answered."""
        self.service.factory.doStart()
        self.service.factory.doStop()
        self.assertEqual(self.client.heard(), [Kind.LEAVING])
        self.assertEqual(self.client.ask(1, "echo", b"still"), [(1, b"still")])


class BadInputTests(SynchronousTestCase):
    """What is no request."""

    def ended(self, data: bytes, code: str) -> None:
        """It is told what is wrong, and sent away; what comes behind is not heard."""
        service = Service(max_message=2000)
        client = service.connect()
        client.ask(1, "slow")
        client.transport.say(data)
        client.transport.say(request(2, "slow"))
        self.assertEqual((client.heard(), client.transport.finished), ([(0, code)], True))
        self.assertIs(client.record.reason, Reason.PROTOCOL_ERROR)
        self.assertEqual((len(service.slow.bodies), service.slow.cancelled), (1, 1))
        client.transport.finish()
        self.assertTrue(client.transport.disconnecting)
        client.transport.settle()
        self.assertEqual(service.clock.getDelayedCalls(), [])

    def test_bad(self) -> None:
        """An unknown kind, none, a kind of the other side's, a number that is under way, too few bytes."""
        for message in (b"", b"\x09", b"\x02\0\0\0\1", b"\x07", b"\x01", b"\x05", b"\x04"):
            self.ended(framed(message), "format")
        self.ended(request(1, "echo"), "format")
        self.ended(request(0, "echo"), "format")

    def test_too_long(self) -> None:
        """A length past the bound, of 4 GiB too; so HTTP ends."""
        self.ended(b"\0\0\x07\xd1", "too-long")
        self.ended(b"\xff\xff\xff\xff", "too-long")
        self.ended(b"GET / HTTP/1.1\r\n\r\n", "too-long")

    def test_lingers(self) -> None:
        """Who does not leave is left after five seconds."""
        service = Service()
        client = service.connect()
        client.transport.say(framed(b""))
        service.clock.advance(LINGER + 1)
        self.assertTrue(client.transport.disconnecting)

    def test_after_half_close(self) -> None:
        """Who has ended is left at once."""
        client = Service().connect()
        client.protocol.pauseProducing()
        client.transport.say(framed(b"\x09"))
        client.transport.finish()
        client.protocol.resumeProducing()
        self.assertEqual(client.heard(), [(0, "format")])
        self.assertTrue(client.transport.disconnecting)

    def test_slow(self) -> None:
        """A message that is not complete in its time ends the connection; each KiB buys a second."""
        service = Service(read_timeout=10.0)
        client = service.connect()
        data = request(1, "echo", bytes(100_000))
        client.transport.say(data[:10])
        service.clock.advance(9)
        client.transport.say(data[10 : 10 + 5 * 1024])
        for seconds in (1.1, 4):
            service.clock.advance(seconds)
            self.assertFalse(client.transport.disconnected)
        service.clock.advance(1.1)
        self.assertTrue(client.transport.disconnected)
        self.assertIs(client.record.reason, Reason.DEADLINE)

    def test_patient(self) -> None:
        """One that is complete has all the time of the world for the next."""
        service = Service(read_timeout=10.0)
        client = service.connect()
        data = request(1, "echo", bytes(1000))
        client.transport.say(data[:10])
        service.clock.advance(9)
        client.transport.say(data[10:])
        service.clock.advance(1000)
        self.assertFalse(client.transport.disconnected)


class LimitTests(SynchronousTestCase):
    """Requests count."""

    def test_rate(self) -> None:
        """Past its rate an address is refused, and may go on later."""
        ledger, service = Ledger(), Service()
        limits = service_limits(service.clock, ledger, Limits(message_rate=1, message_burst=2))
        client = Service(limits=limits).connect()
        heard = [client.ask(number, "echo") for number in (1, 2, 3)]
        self.assertEqual(heard, [[(1, b"")], [(2, b"")], [(3, "limit")]])
        service.clock.advance(1)
        self.assertEqual(client.ask(4, "echo"), [(4, b"")])
        self.assertEqual(ledger.totals("front").refused_requests, {"message_rate": 1})
        self.assertEqual(client.record.host, KEY)

    def test_in_hand(self) -> None:
        """So does what is refused since too much is under way."""
        ledger = Ledger()
        limits = service_limits(Service().clock, ledger, Limits())
        client = Service(limits=limits, max_requests_in_hand=1).connect()
        client.ask(1, "slow")
        client.ask(2, "echo")
        self.assertEqual(ledger.totals("front").refused_requests, {"max_requests_in_hand": 1})


class OptionTests(SynchronousTestCase):
    """What a file may say."""

    def test_methods(self) -> None:
        """Methods of one's own stand beside those built in, or in their place."""
        client = Service(methods={"base": "os.path:basename", "time": "os.path:dirname"}).connect()
        self.assertEqual(client.ask(1, "base", b"a/b"), [(1, b"b")])
        self.assertEqual(client.ask(2, "time", b"a/b"), [(2, b"a")])
        self.assertIn("base", repr(client.service.factory))

    def test_checked(self) -> None:
        """A name that cannot be sent, and what is no callable, are faults of the file."""
        for methods in ({"": "os.path:basename"}, {"x": "os.path"}, {"x": "os.path:sep"}, {"x": "os:nope"}):
            self.assertRaises(OptionError, MessageOptions, methods=methods)

    def test_build(self) -> None:
        """A listener's factory, and a line that tries it."""
        service = Service()
        factory = build(MessageOptions(), FakeContext(service.clock))
        self.assertIn("callers=0", repr(factory))
        self.assertEqual(
            example(MessageOptions(), "127.0.0.1", 7070), "tcpsuite call 127.0.0.1:7070 echo hello"
        )

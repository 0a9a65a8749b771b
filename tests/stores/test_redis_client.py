"""Time at the client of Redis: who is late, who pays for it, and how long an end takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.errors import StoreFailed
from tcpsuite.stores.redis.client import RedisClient
from tcpsuite.stores.redis.connection import RedisConnection
from tcpsuite.stores.redis.sentinel import SentinelEndpoint
from tcpsuite.stores.redis.sessions import RedisSessionStore
from tcpsuite.testing.stores import digest_named

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocolFactory

TIMEOUT = 2.0
HEAD = b"*5\r\n$5\r\nalice\r\n$4\r\n1000\r\n$4\r\n1000\r\n$1\r\n7\r\n$1\r\n0\r\n"
TOLD_TIME = b"*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"
FORGOTTEN = b"-NOSCRIPT No matching script. Please use EVAL.\r\n"


class Transport(StringTransport):
    """Like one over TLS: it takes its leave, and waits until the other side has."""

    def __init__(self, protocol: RedisConnection) -> None:
        super().__init__()
        self.protocol = protocol
        self.aborted = False

    def abortConnection(self) -> None:
        """Is gone at once."""
        self.aborted = True
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(ConnectionAbortedError("cut")))

    def said(self) -> bytes:
        """What was sent since the last time."""
        said: bytes = self.value()
        self.clear()
        return said


class ClientCase(SynchronousTestCase):
    """A client of one lane whose connections are made by hand."""

    def setUp(self) -> None:
        """A client that waits for its first connection."""
        self.clock = Clock()
        self.wanted: list[Deferred[RedisConnection]] = []
        self.client = RedisClient(
            self.connect, self.clock, name="redis", lanes=1, timeout=TIMEOUT, chance=lambda: 0.0
        )
        self.client.start()

    def connect(self) -> Deferred[RedisConnection]:
        """One that is wanted."""
        self.wanted.append(Deferred())
        return self.wanted[-1]

    def connected(self) -> tuple[RedisConnection, Transport]:
        """Make the connection that is wanted, and have it tell its time."""
        connection, transport = self.new()
        self.wanted.pop().callback(connection)
        connection.dataReceived(TOLD_TIME)
        return connection, transport

    def new(self) -> tuple[RedisConnection, Transport]:
        """A connection."""
        connection = RedisConnection(lambda failure: str(failure.value), self.clock, TIMEOUT)
        transport = Transport(connection)
        connection.makeConnection(transport)
        return connection, transport

    def ask(self, script: str = "return 1") -> Deferred[Any]:
        """Run a script."""
        return self.client.run(script, [], [])

    def fault(self, asked: Deferred[Any]) -> str:
        """Why it failed."""
        return str(self.failureResultOf(asked, StoreFailed).value)


class LateTests(ClientCase):
    def test_who_waited_for_the_connection_fails_alone(self) -> None:
        """Who asked long before there was a connection is late by itself: the connection stays, and who asks
        later has an answer.
        """
        first = self.ask()
        self.clock.advance(1.5)
        connection, transport = self.connected()
        self.clock.advance(0.4)
        second = self.ask()
        self.clock.advance(0.1)
        self.assertEqual(self.fault(first), "redis: no answer within 2 s")
        self.assertFalse(transport.aborted)
        self.clock.advance(1.0)
        connection.dataReceived(b":1\r\n:2\r\n")
        self.assertEqual(self.successResultOf(second), 2)

    def test_who_was_never_asked(self) -> None:
        """Who waits for a connection for all its time fails, and is not asked afterwards."""
        waiting = self.ask()
        self.clock.advance(TIMEOUT)
        self.assertEqual(self.fault(waiting), "redis: no answer within 2 s")
        _, transport = self.connected()
        self.assertNotIn(b"EVAL", transport.said())

    def test_connecting_and_the_first_question_are_two_things(self) -> None:
        """Each of them may take the time-out; who waits for both no longer than that."""
        first = self.ask()
        self.clock.advance(1.5)
        connection, transport = self.new()
        self.wanted.pop().callback(connection)
        self.clock.advance(1.5)
        self.assertEqual(self.fault(first), "redis: no answer within 2 s")
        second = self.ask()
        connection.dataReceived(TOLD_TIME + b":1\r\n")
        self.assertEqual((self.successResultOf(second), transport.aborted), (1, False))

    def test_one_that_does_not_tell_its_time(self) -> None:
        """A connection that is silent from the start is given up."""
        connection, transport = self.new()
        self.wanted.pop().callback(connection)
        second = self.ask()
        self.clock.advance(TIMEOUT)
        self.assertTrue(transport.aborted)
        self.assertEqual(self.fault(second), "redis: no answer within 2 s")
        self.assertEqual(repr(self.client), "<RedisClient redis connections=0 of 1>")

    def test_a_silent_connection_is_cut(self) -> None:
        """A connection that has not answered for the time-out since it was asked is given up, and so is all
        that was asked on it.
        """
        _, transport = self.connected()
        asked = [self.ask()]
        self.clock.advance(1.9)
        asked.append(self.ask())
        self.assertFalse(transport.aborted)
        self.clock.advance(0.1)
        self.assertTrue(transport.aborted)
        for each in asked:
            self.assertEqual(self.fault(each), "redis: no answer within 2 s")

    def test_each_reply_renews_the_patience(self) -> None:
        """A connection that answers each in time is kept, however many wait."""
        connection, transport = self.connected()
        asked = []
        for _ in range(20):
            asked.append(self.ask())
            self.clock.advance(0.5)
            if len(asked) > 2:
                connection.dataReceived(b":1\r\n")
        self.assertFalse(transport.aborted)
        self.assertEqual([each.called for each in asked], [True] * 18 + [False] * 2)
        connection.dataReceived(b":1\r\n" * 2)


class OrderTests(ClientCase):
    def test_a_forgotten_script_is_not_sent_behind_others(self) -> None:
        """Who asks for a script that Redis has forgotten fails; it is not done behind what was asked later.
        The next one tells it anew.
        """
        connection, transport = self.connected()
        known = self.ask()
        connection.dataReceived(b":1\r\n")
        self.assertEqual(self.successResultOf(known), 1)
        transport.said()
        first, second = self.ask(), self.ask("return 2")
        self.assertIn(b"EVALSHA", transport.said())
        connection.dataReceived(FORGOTTEN + b":2\r\n")
        self.assertIn("No script", self.fault(first))
        self.assertEqual(self.successResultOf(second), 2)
        self.assertEqual(transport.said(), b"")
        again = self.ask()
        self.assertIn(b"return 1", transport.said())
        connection.dataReceived(b":1\r\n")
        self.assertEqual(self.successResultOf(again), 1)


class StoreTests(ClientCase):
    def test_a_use_that_could_not_be_stored(self) -> None:
        """Who reads a session is told of a use of it that Redis has refused just before."""
        connection, _ = self.connected()
        store = RedisSessionStore(self.client)
        store.touch(digest_named("a"), 1500.0, 2)
        for ask, reply in (
            (store.head, HEAD),
            (store.get, b"*2\r\n" + HEAD + b"*0\r\n"),
        ):
            asked = ask(digest_named("a"))
            connection.dataReceived(b"-OOM too much\r\n" + reply)
            told = self.successResultOf(asked)
            assert told is not None
            self.assertEqual((told.used, told.requests), (1500.0, 9))

    def test_a_strange_value(self) -> None:
        """A session that is none is told of as a failure of the store, with its name in Redis and the value,
        and so it is logged; who asks for another one has it.
        """
        connection, _ = self.connected()
        store = RedisSessionStore(self.client)
        name = digest_named("a").hex()
        for place, value, why in (
            (2, b"abc", "could not convert string to float: b'abc'"),
            (2, b"1e400", "no time: b'1e400'"),
            (3, b"nan", "no time: b'nan'"),
            (4, b"x", "invalid literal for int() with base 10: b'x'"),
            (1, b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        ):
            self.clock.advance(60.0)
            lines = HEAD.split(b"\r\n")
            lines[2 * place - 1 : 2 * place + 1] = [b"$%d" % len(value), value]
            with capturedLogs() as told:
                strange, other = store.head(digest_named("a")), store.head(digest_named("b"))
                connection.dataReceived(b"\r\n".join(lines) + HEAD)
            expected = f"redis: strange value: session {name}: {why}"
            self.assertEqual(self.fault(strange), expected)
            self.assertEqual([formatEvent(event) for event in told], [expected])
            self.assertIsNotNone(self.successResultOf(other))

    def test_strange_totals(self) -> None:
        """So are totals that are none."""
        connection, _ = self.connected()
        store = RedisSessionStore(self.client)
        for requests, oldest in ((b"zz", b"*0"), (b"5", b"*2\r\n$1\r\na\r\n$4\r\n-inf")):
            asked = store.totals()
            connection.dataReceived(
                b"*6\r\n:1\r\n:1\r\n*0\r\n$%d\r\n%b\r\n%b\r\n*0\r\n" % (len(requests), requests, oldest)
            )
            self.assertIn("redis: strange value: ", self.fault(asked))

    def test_takes_no_changes(self) -> None:
        """That Redis answers, but takes no changes, is told of with the totals, until it does again."""
        connection, _ = self.connected()
        store = RedisSessionStore(self.client)
        for refused, fault in ((b"-OOM too much\r\n", "redis: OOM too much"), (b":0\r\n", "")):
            asked = store.totals()
            connection.dataReceived(b"*6\r\n:3\r\n:1\r\n*0\r\n$1\r\n5\r\n*0\r\n*0\r\n")
            connection.dataReceived(refused)
            self.assertEqual(self.successResultOf(asked).sessions, 3)
            self.assertEqual(store.fault, fault)


class LogTests(ClientCase):
    def test_an_absence(self) -> None:
        """Why Redis is away is said once for each reason, however they take turns, and no more than five
        times; that it is back once; and of the next absence anew.
        """
        with capturedLogs() as told:
            for _ in range(2):
                for reason in ("closed", "lost", "closed", "lost", "1", "2", "3", "4"):
                    self.wanted.pop().errback(StoreFailed(reason))
                    self.assertEqual(self.fault(self.ask()), f"redis: {reason}")
                    self.clock.advance(10.0)
                _, transport = self.connected()
                transport.abortConnection()
                self.clock.advance(10.0)
        said = ["redis: closed", "redis: lost", "redis: 1", "redis: 2", "redis: 3", "redis: it works again"]
        self.assertEqual([formatEvent(event) for event in told], said * 2)

    def test_closed(self) -> None:
        """A connection that the other side has ended is told of in the same words, however it did."""
        for how in (ConnectionDone(), ConnectionLost()):
            connection, _ = self.connected()
            asked = self.ask()
            connection.connectionLost(Failure(how))
            self.assertEqual(self.fault(asked), "redis: it closed the connection")
            self.clock.advance(10.0)

    def test_refusals(self) -> None:
        """What Redis refuses is in the log, of each kind one a minute, with the name of that Redis."""
        connection, _ = self.connected()
        with capturedLogs() as told:
            for reply in (b"-OOM too much\r\n", b"-OOM far too much\r\n", b"-MISCONF no disk\r\n"):
                asked = self.ask()
                connection.dataReceived(reply)
                self.fault(asked)
            self.clock.advance(60.0)
            asked = self.ask()
            connection.dataReceived(b"-OOM again\r\n")
            self.assertEqual(self.fault(asked), "redis: OOM again")
        self.assertEqual(
            [formatEvent(event) for event in told],
            ["redis: OOM too much", "redis: MISCONF no disk", "redis: OOM again"],
        )


class EndTests(ClientCase):
    def test_one_that_never_takes_its_leave(self) -> None:
        """A connection whose other side does not say farewell is cut when the time-out is over."""
        _, transport = self.connected()
        stopped = self.client.stop()
        self.assertTrue(transport.disconnecting)
        self.clock.advance(TIMEOUT - 0.1)
        self.assertNoResult(stopped)
        self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertTrue(transport.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_peace(self) -> None:
        """One that does is not cut, and leaves no timer behind."""
        connection, transport = self.connected()
        stopped = self.client.stop()
        connection.connectionLost(Failure(ConnectionError("closed")))
        self.successResultOf(stopped)
        self.assertFalse(transport.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_sentinel(self) -> None:
        """The connection to a sentinel that was asked is gone at once, whether or not it says farewell."""
        connection, transport = self.new()

        class Nowhere:
            def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
                return fail(StoreFailed("nobody is there"))

        endpoint = SentinelEndpoint(
            [Nowhere()],  # type: ignore[list-item]
            "db",
            lambda _host, _port: Nowhere(),  # type: ignore[arg-type, return-value]
            connect=lambda _sentinel: succeed(connection),
            clock=self.clock,
            timeout=TIMEOUT,
        )
        found = endpoint.connect(Factory())
        self.assertIn(b"SENTINEL", transport.said())
        connection.dataReceived(b"*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n")
        self.assertTrue(transport.aborted)
        self.assertEqual(self.fault(found), "nobody is there")

"""What every :class:`~tcpsuite.interfaces.IConnectionPool` keeps to that lends a connection again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionLost

from tcpsuite.errors import ConnectFailed, LeaseError, PoolExhausted
from tcpsuite.testing.pools import PATIENCE, ConnectionPoolContract, Taker

if TYPE_CHECKING:
    from tcpsuite.interfaces import ILease
    from tcpsuite.testing.endpoints import ScriptedTransport


class ReusingPoolContract(ConnectionPoolContract):
    """Mix into a ``SynchronousTestCase``, and give ``make_pool``: a pool of these bounds, which resets no
    connection, and asks nothing of one that was used a moment ago.

    :cvar maximum: connections at most.
    :cvar waiters: how many may wait while all are in use.
    """

    maximum = 4
    waiters = 3

    def _full(self) -> list[tuple[ILease, Taker]]:
        """As many leases as there can be."""
        return [self._attached() for _ in range(self.maximum)]

    def _server_of(self, taker: Taker) -> ScriptedTransport:
        return next(each for each in self.endpoint.transports if each is taker.transport)

    def test_what_is_released_is_lent_again(self) -> None:
        """The next taker gets the same connection, at once; who had it before hears no more of it."""
        lease, first = self._attached()
        ended = lease.ended()
        self.clock.advance(0.25)
        self.pool.release(lease)
        outcome = self.successResultOf(ended)
        self.assertEqual((outcome.ok, outcome.seconds), (True, 0.25))
        made = len(self.endpoint.transports)
        again = [self._attached() for _ in range(made)]
        self.assertEqual(len(self.endpoint.transports), made, "none was made for them")
        second = next(taker for _, taker in again if taker.transport is first.transport)
        self._server_of(second).say(b"answer")
        self.assertEqual(second.events, ["made", b"answer"])
        self.assertEqual(first.events, ["made"])

    def test_never_more_than_the_maximum(self) -> None:
        """However many ask, there are no more connections; who waits is served in turn."""
        leases = self._full()
        waiting = [self.pool.acquire() for _ in range(self.waiters)]
        self._accept_all()
        self.assertEqual(self.endpoint.open, self.maximum)
        for number, each in enumerate(waiting):
            self.assertNoResult(each)
            self.pool.release(leases[number][0])
            self.successResultOf(each)
        self.assertEqual(self.endpoint.asked, self.maximum)

    def test_too_many_waiters_are_refused_at_once(self) -> None:
        """When as many wait as may, the next is told so; the others keep their places."""
        leases = self._full()
        waiting = [self.pool.acquire() for _ in range(self.waiters)]
        self.failureResultOf(self.pool.acquire(), PoolExhausted)
        for (lease, _taker), each in zip(leases, waiting, strict=False):
            self.pool.release(lease)
            self.successResultOf(each)

    def test_too_many_are_not_held_by_a_pause(self) -> None:
        """As many as may wait are held; the next is told at once, and the others are served behind it."""
        self.pool.pause()
        held = [self.pool.acquire() for _ in range(self.waiters)]
        self.failureResultOf(self.pool.acquire(), PoolExhausted)
        self.pool.resume()
        self._accept_all()
        for each in held:
            self.successResultOf(each)

    def test_nobody_waits_for_ever(self) -> None:
        """While all connections are in use, who waits is told after its own time, or the pool's."""
        self._full()
        short, long = self.pool.acquire(0.5), self.pool.acquire()
        self.clock.advance(0.5)
        self.failureResultOf(short, PoolExhausted)
        self.assertNoResult(long)
        self._wait(PATIENCE)
        self.failureResultOf(long, PoolExhausted)

    def test_who_gives_up_leaves_its_connection_to_the_next(self) -> None:
        """A connection that was being made for it goes to who waits, and none is made in vain."""
        self._drain()
        first, second = self.pool.acquire(), self.pool.acquire()
        begun = self.endpoint.connecting
        first.addErrback(lambda _: None).cancel()
        self.endpoint.accept()
        self.successResultOf(second)
        self._accept_all()
        self.assertEqual((self.endpoint.cancelled, self.endpoint.open), (0, begun))

    def test_a_waiter_that_gives_up_is_passed_over(self) -> None:
        """What is given back goes to the next one."""
        leases = self._full()
        first, second = self.pool.acquire(), self.pool.acquire()
        first.addErrback(lambda _: None).cancel()
        self.pool.release(leases[0][0])
        self.successResultOf(second)

    def test_a_connection_that_its_server_ended_is_never_lent(self) -> None:
        """Reset, or half-closed, while nobody had it: it is closed, and the next taker gets another."""
        for end in ("lose", "finish"):
            lease, before = self._attached()
            self.pool.release(lease)
            getattr(self._server_of(before), end)()
            self.endpoint.settle()
            _lease, after = self._attached()
            self.assertIsNot(after.transport, before.transport)
            self.assertEqual(after.events, ["made"])

    def test_a_connection_that_spoke_unasked_is_never_lent(self) -> None:
        """What comes while nobody has it was meant for somebody else: nobody meets it."""
        lease, before = self._attached()
        self.pool.release(lease)
        self._server_of(before).say(b"late")
        self.assertTrue(self._server_of(before).disconnecting)
        for _ in range(self.maximum - 1):
            _lease, after = self._attached()
            self.assertIsNot(after.transport, before.transport)
            self.assertEqual(after.events, ["made"])

    def test_what_is_not_reusable_is_closed(self) -> None:
        """Its taker is told of the end, and its place is free behind it."""
        leases = self._full()
        lease, taker = leases[0]
        self.pool.release(lease, reusable=False)
        waiting = self.pool.acquire()
        self._accept_all()
        self.endpoint.settle()
        self._accept_all()
        self.assertEqual(len(taker.events), 2)
        self.successResultOf(waiting)
        self.assertEqual(self.endpoint.open, self.maximum)

    def test_what_is_still_in_use_is_closed(self) -> None:
        """One that is given back while a producer feeds it, or it is being closed, is lent to nobody."""

        def feed(transport: Any) -> None:
            transport.registerProducer(object(), True)

        for left in (feed, lambda transport: transport.loseConnection()):
            lease, taker = self._attached()
            left(taker.transport)
            self.pool.release(lease)
            self.assertTrue(self._server_of(taker).disconnecting)
            self.endpoint.settle()

    def test_a_lease_that_is_over_cannot_be_used(self) -> None:
        """Behind its release nothing that is done with a lease touches the next taker's."""
        lease, _taker = self._attached()
        self.pool.release(lease)
        again = [self._attached() for _ in range(len(self.endpoint.transports))]
        self.pool.release(lease, reusable=False)
        self.endpoint.settle()
        for _, taker in again:
            self.assertEqual(taker.events, ["made"])
        late = Taker()
        with self.assertRaises(LeaseError):
            lease.attach(late)
        self.assertEqual(late.events, [])

    def test_a_taker_may_be_done_as_soon_as_it_begins(self) -> None:
        """One that releases its lease in ``connectionMade``, or when it hears what had come before, leaves
        the connection to the next, who alone hears what comes then.
        """
        for moment in ("connectionMade", "dataReceived"):
            lease, taker = self._lease(), Taker()
            if moment == "dataReceived":
                for server in self.endpoint.transports:
                    server.say(b"early")
                self.endpoint.settle()  # those that nobody has are closed for it
            note = getattr(taker, moment)

            def done(*data: bytes, lease: ILease = lease, note: Any = note) -> None:
                note(*data)
                self.pool.release(lease)

            setattr(taker, moment, done)
            lease.attach(taker)
            heard = list(taker.events)
            again = [self._attached() for _ in range(self.maximum)]
            self.assertEqual(len({id(each.transport) for _, each in again}), self.maximum)
            for server in self.endpoint.transports:
                if server.connected:
                    server.say(b"answer")
            self.assertEqual(taker.events, heard)
            for lease, each in again:
                self.assertEqual(each.events, ["made", b"answer"])
                self.pool.release(lease)

    def test_what_comes_behind_a_taker_that_was_done_at_once_is_nobodys(self) -> None:
        """When one has released its lease in ``connectionMade``, what the server says then costs the
        connection, as whenever nobody has it.
        """
        lease, taker = self._lease(), Taker()
        made = taker.connectionMade

        def done() -> None:
            made()
            self.pool.release(lease)

        setattr(taker, "connectionMade", done)  # noqa: B010
        lease.attach(taker)
        self._server_of(taker).say(b"late")
        self.assertEqual(taker.events, ["made"])
        self.assertTrue(self._server_of(taker).disconnecting)

    def test_what_is_released_twice_is_lent_once(self) -> None:
        """A second release does not put a connection into the pool a second time."""
        lease, _taker = self._attached()
        self.pool.release(lease)
        self.pool.release(lease)
        takers = [taker for _, taker in self._full()]
        self.assertEqual(len({id(taker.transport) for taker in takers}), self.maximum)

    def test_a_loss_makes_room(self) -> None:
        """When a connection is lost that somebody had, one is made for who waits."""
        leases = self._full()
        waiting = self.pool.acquire()
        self._server_of(leases[0][1]).lose(ConnectionLost())
        self._accept_all()
        self.successResultOf(waiting)

    def test_without_hope_all_are_told(self) -> None:
        """When no connection can be made and none is in use, everybody who waits is told at once."""
        self._drain()
        waiting = [self.pool.acquire() for _ in range(self.maximum + self.waiters)]
        self._refuse_all()
        for each in waiting:
            self.failureResultOf(each, ConnectFailed)

    def test_closing_leaves_nothing_idle(self) -> None:
        """What nobody has is closed at once, and what is given back later too."""
        leases = self._full()
        self.pool.release(leases[0][0])
        closed = self.pool.close(PATIENCE)
        self.endpoint.settle()
        self.assertEqual(self.endpoint.open, self.maximum - 1)
        for lease, _ in leases[1:]:
            self.pool.release(lease)
        self.endpoint.settle()
        self.successResultOf(closed)

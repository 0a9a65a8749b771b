"""What every :class:`~tcpsuite.interfaces.IConnectionPool` keeps to.

Mix in the contract of your kind of pool: :class:`SingleUsePoolContract`, or
:class:`~tcpsuite.testing.pools_reuse.ReusingPoolContract`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface.verify import verifyObject

from tcpsuite.errors import Closed, ConnectFailed, Cut, LeaseError, RemoteError
from tcpsuite.interfaces import IConnectionPool, ILease, Outcome
from tcpsuite.testing.endpoints import ScriptedEndpoint
from tcpsuite.testing.pools_paused import PATIENCE as PATIENCE
from tcpsuite.testing.pools_paused import PausingPoolContract
from tcpsuite.testing.takers import Taker as Taker

if TYPE_CHECKING:
    from twisted.python.failure import Failure


class ConnectionPoolContract(PausingPoolContract):
    """Of every kind.  Mix into a ``SynchronousTestCase``, and give ``make_pool``."""

    def test_provides_the_interface(self) -> None:
        """The pool and its leases have all that the interfaces ask for."""
        self.assertTrue(verifyObject(IConnectionPool, self.pool))
        self.assertTrue(verifyObject(ILease, self._lease()))

    def test_says_its_state(self) -> None:
        """Its ``repr`` is its own, and its counts are numbers by name."""
        self.assertNotIn("object at 0x", repr(self.pool))
        for name, number in self.pool.stats().items():
            self.assertIsInstance(name, str)
            self.assertIsInstance(number, int | float)

    def test_a_lease_carries_bytes_both_ways(self) -> None:
        """What the server says reaches who took the connection, and the other way round."""
        lease, taker = self._attached()
        transport: Any = taker.transport
        transport.write(b"question")
        server = next(each for each in self.endpoint.transports if each.value())
        server.say(b"answer")
        self.assertEqual(taker.events, ["made", b"answer"])
        self.pool.release(lease)

    def test_what_happened_before_attach_is_not_lost(self) -> None:
        """Bytes and a FIN that came before come after ``makeConnection``, in their order."""
        leases = [self._lease() for _ in range(2)]
        for server in self.endpoint.transports:
            server.say(b"hello")
            server.finish()
        for lease in leases:
            taker = Taker()
            lease.attach(taker)
            self.assertEqual(taker.events, ["made", b"hello", "finished"])

    def test_a_loss_before_attach_is_not_lost(self) -> None:
        """A connection that was reset before somebody attached is seen reset by who does."""
        lease, taker = self._lease(), Taker()
        for server in self.endpoint.transports:
            server.lose(ConnectionLost())
        lease.attach(taker)
        self.assertEqual(taker.events, ["made", ConnectionLost])
        self.assertFalse(self.successResultOf(lease.ended()).ok)

    def test_a_protocol_without_half_close_is_closed(self) -> None:
        """To a protocol that knows no half-close, a FIN is the end."""

        class Plain(Protocol):
            lost = False

            def connectionLost(self, reason: Failure = connectionDone) -> None:
                self.lost = True

        lease, plain = self._lease(), Plain()
        lease.attach(plain)
        for server in self.endpoint.transports:
            server.finish()
        self.endpoint.settle()
        self.assertTrue(plain.lost)

    def test_a_lease_is_attached_once(self) -> None:
        """A second protocol is refused, and the first goes on."""
        lease, taker = self._attached()
        with self.assertRaises(LeaseError):
            lease.attach(Taker())
        for server in self.endpoint.transports:
            server.say(b"answer")
        self.assertEqual(taker.events, ["made", b"answer"])

    def test_a_lease_is_released_to_its_own_pool(self) -> None:
        """Another pool refuses it, though it has lent as many, and whoever has those keeps them."""
        endpoint = ScriptedEndpoint()
        other = self.make_pool(endpoint, self.clock)
        acquired = other.acquire()
        while endpoint.connecting:
            endpoint.accept()
        self.successResultOf(acquired).attach(foreign := Taker())
        lease, taker = self._attached()
        with self.assertRaises(LeaseError):
            other.release(lease)
        for server in (*endpoint.transports, *self.endpoint.transports):
            server.say(b"answer")
        self.assertEqual([taker.events, foreign.events], [["made", b"answer"]] * 2)
        closed = other.close()
        self.clock.advance(0)
        endpoint.settle()
        self.successResultOf(closed)

    def test_tells_of_the_end_behind_the_taker(self) -> None:
        """``ended`` fires when the connection is gone, with how long it lived; at once if it is gone."""
        lease, taker = self._attached()
        ended = lease.ended()
        seen: list[int] = []

        def note(outcome: Outcome) -> Outcome:
            seen.append(len(taker.events))
            return outcome

        ended.addCallback(note)
        self.clock.advance(3)
        self.assertNoResult(ended)
        self.pool.release(lease, reusable=False)
        self.endpoint.settle()
        outcome = self.successResultOf(ended)
        self.assertTrue(outcome.ok)
        self.assertEqual(outcome.seconds, 3)
        self.assertEqual(seen, [2], "the taker had been told before")
        self.assertEqual(self.successResultOf(lease.ended()), outcome)

    def test_release_is_safe_to_call_twice(self) -> None:
        """A second release changes nothing, behind the end too."""
        lease, _taker = self._attached()
        self.pool.release(lease)
        self.pool.release(lease)
        self.endpoint.settle()
        self.pool.release(lease, reusable=False)

    def test_no_connection_serves_two_takers(self) -> None:
        """Leases that are out at one time are different connections."""
        takers = [self._attached()[1] for _ in range(4)]
        self.assertEqual(len({id(taker.transport) for taker in takers}), 4)

    def test_a_server_that_refuses_is_an_answer(self) -> None:
        """When no connection can be made, who waits is told so by a remote error."""
        self._drain()
        acquired = self.pool.acquire()
        self._refuse_all()
        self.failureResultOf(acquired, ConnectFailed)

    def test_a_server_that_says_nothing_is_an_answer(self) -> None:
        """Who waits is answered within the time it gave, and within the pool's own if it gave none."""
        self._drain()
        short, long = self.pool.acquire(0.5), self.pool.acquire()
        self.clock.advance(0.5)
        self.failureResultOf(short, RemoteError)
        self.assertNoResult(long)
        self._wait(PATIENCE)
        self.failureResultOf(long, RemoteError)

    def test_a_time_that_is_none_is_refused(self) -> None:
        """A text, or what is not a number, is the caller's mistake: told at once, and nobody waits."""
        self._drain()
        asked = self.endpoint.asked
        wrong: Any
        for wrong, error in (("5", TypeError), (float("nan"), ValueError), (float("inf"), ValueError)):
            with self.assertRaises(error):
                self.pool.acquire(wrong)
        self.assertEqual((self.pool.stats()["waiting"], self.endpoint.asked), (0, asked))

    def test_giving_up_loses_no_connection(self) -> None:
        """Cancelling while the connection is being made leaves none behind, and answers who cancels."""
        self._drain()
        acquired = self.pool.acquire()
        acquired.cancel()
        self.failureResultOf(acquired, CancelledError)
        leased = self.pool.stats().get("leased", 0)
        self._accept_all()
        self.assertEqual(self.pool.stats().get("leased", 0), leased)

    def test_execute_gives_the_result_and_the_connection_back(self) -> None:
        """What the function gives is given, as it fails it fails; behind both the lease is over, and behind a
        failure the connection too, for nobody knows what is left on it.
        """
        for answer in ("value", ValueError("mine")):
            inner: Deferred[Any] = Deferred()
            leases: list[ILease] = []
            taker = Taker()

            def work(
                lease: ILease, leases: Any = leases, inner: Any = inner, taker: Taker = taker
            ) -> Deferred[Any]:
                lease.attach(taker)
                leases.append(lease)
                return inner  # type: ignore[no-any-return]

            done = self.pool.execute(work)
            self._accept_all()
            self.assertNoResult(done)
            self.assertEqual(self._figures()["leased"], 1)
            if isinstance(answer, Exception):
                inner.errback(answer)
                self.failureResultOf(done, ValueError)
            else:
                inner.callback(answer)
                self.assertEqual(self.successResultOf(done), answer)
            self.endpoint.settle()
            self.successResultOf(leases[0].ended())
            self.assertEqual(self._figures()["leased"], 0)
        self.assertEqual(len(taker.events), 2, "it was told of the end")

    def test_counts_what_there_is_and_what_there_was(self) -> None:
        """The figures that every pool has are those of the connections and takers that the test sees."""
        self._drain()
        waiting = self.pool.acquire()
        self._check_figures(leased=0, waiting=1, leases=0)
        self._accept_all()
        lease = self.successResultOf(waiting)
        self._check_figures(leased=1, waiting=0, leases=1)
        other = self._lease()
        self._check_figures(leased=2, waiting=0, leases=2)
        self.pool.pause()
        held = self.pool.acquire()
        self._check_figures(leased=2, waiting=1, leases=2)
        self.pool.release(lease, reusable=False)
        self.endpoint.settle()
        self._check_figures(leased=1, waiting=1, leases=2)
        held.addErrback(lambda _: None).cancel()
        self._drain()
        self.assertFalse(self.successResultOf(other.ended()).ok)
        self._check_figures(leased=0, waiting=0, leases=2)
        self.pool.resume()
        refused = self.pool.acquire()
        self._refuse_all()
        self.failureResultOf(refused, ConnectFailed)
        self._check_figures(leased=0, waiting=0, leases=2)

    def _figures(self) -> dict[str, int | float]:
        stats, names = self.pool.stats(), ("open", "leased", "waiting", "created", "failed", "leases")
        return {name: stats[name] for name in names}

    def _check_figures(self, leased: int, waiting: int, leases: int) -> None:
        endpoint, made = self.endpoint, len(self.endpoint.transports)
        self.assertEqual(
            self._figures(),
            {
                "open": endpoint.open + endpoint.connecting,
                "leased": leased,
                "waiting": waiting,
                "created": made,
                "failed": endpoint.asked - endpoint.connecting - endpoint.cancelled - made,
                "leases": leases,
            },
        )

    def test_closing_tells_who_waits_and_who_comes(self) -> None:
        """Waiters fail now, newcomers too."""
        self._drain()
        waiting = self.pool.acquire()
        closed = self.pool.close(PATIENCE)
        self.failureResultOf(waiting, Closed)
        self.failureResultOf(self.pool.acquire(), Closed)
        self._wait(PATIENCE)
        self.successResultOf(closed)

    def test_closing_gives_leases_their_time(self) -> None:
        """Leases may end until the deadline; then they are cut, and closing is done."""
        _lease, taker = self._attached()
        closed = self.pool.close(5.0)
        self.clock.advance(4.9)
        self.endpoint.settle()
        self.assertEqual(taker.events, ["made"])
        self.assertNoResult(closed)
        self.clock.advance(0.1)
        self.endpoint.settle()
        self.assertEqual(len(taker.events), 2)
        self.successResultOf(closed)

    def test_cutting_ends_leases_now(self) -> None:
        """Leases are cut, before a close and while it waits for them, which is done with that."""
        _lease, early = self._attached()
        self.pool.cut()
        self.endpoint.settle()
        self.assertEqual(len(early.events), 2)
        _lease, late = self._attached()
        closed = self.pool.close(PATIENCE)
        self.pool.cut()
        self.endpoint.settle()
        self.assertEqual(len(late.events), 2)
        self.successResultOf(closed)

    def test_cutting_refuses_who_waits(self) -> None:
        """Who waits when leases are cut fails at once, and may go elsewhere; who comes then is served."""
        self._drain()
        waiting = self.pool.acquire()
        self.pool.cut()
        self.failureResultOf(waiting, Cut)
        self.endpoint.settle()
        self._attached()

    def test_closing_does_not_wait_for_what_has_ended(self) -> None:
        """When the last lease ends before the deadline, closing is done."""
        lease, _taker = self._attached()
        closed = self.pool.close(5.0)
        self.pool.release(lease, reusable=False)
        self.endpoint.settle()
        self.successResultOf(closed)

    def test_who_is_answered_may_ask_and_think_better_of_it(self) -> None:
        """One that is asked for and given up inside an answer is nobody's, and keeps nobody else waiting."""
        self._drain()
        first = self.pool.acquire()
        other: list[Deferred[ILease]] = []

        def ask(lease: ILease) -> ILease:
            other.extend(self.pool.acquire() for _ in range(2))
            other[0].cancel()
            return lease

        first.addCallback(ask)
        self._accept_all()
        self.successResultOf(first)
        self.failureResultOf(other[0], CancelledError)
        self.successResultOf(other[1])


class SingleUsePoolContract(ConnectionPoolContract):
    """Of a pool that lends each connection once, for good."""

    def test_a_lease_takes_nobodys_room(self) -> None:
        """However many leases there are, who comes gets another one."""
        leases = [self._lease() for _ in range(50)]
        self.assertEqual(len({id(lease) for lease in leases}), 50)

    def test_what_is_released_is_closed(self) -> None:
        """No connection that somebody had goes to somebody else, whatever is said of it."""
        lease, taker = self._attached()
        self.pool.release(lease, reusable=True)
        self.endpoint.settle()
        self.assertEqual(len(taker.events), 2, "it was told of the end")
        again = self._attached()[1]
        self.assertIsNot(again.transport, taker.transport)

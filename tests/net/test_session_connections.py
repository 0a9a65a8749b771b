"""Connections that belong to a session, on transports of strings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tcpsuite.core.pooling import PoolSettings
from tcpsuite.core.servers import Server
from tcpsuite.errors import Closed, ConnectFailed, ProtocolError
from tcpsuite.net.pool import ConnectionPool
from tcpsuite.net.session_connections import SessionConnections
from tcpsuite.net.sessions import SessionManager
from tcpsuite.testing.endpoints import ScriptedEndpoint
from tcpsuite.testing.takers import Taker
from tests.support.managers import ManagerCase


class SessionConnectionTests(ManagerCase):
    """Each session has a connection of its own, of a pool of two."""

    def setUp(self) -> None:
        """A manager whose sessions have connections, and a session of alice that is idle."""
        super().setUp()
        self.endpoint = ScriptedEndpoint()
        self.resets: list[str] = []
        self.pool = ConnectionPool(
            Server("a", "tcp:192.0.2.1:1"),
            self.endpoint,
            self.clock,
            settings=PoolSettings("session", min_connections=0, max_connections=2),
            reset=lambda lease: self.resets.append(lease.server.name),
        )
        self.manager = self.make_manager(SessionConnections.of_pool(self.pool, Taker))
        self.addCleanup(self.finish)
        self.session_id, live = self.opened()
        self.manager.release(live)

    def finish(self) -> None:
        """Nothing is left, neither of the manager nor of the pool."""
        self.successResultOf(self.manager.stop())
        closed = self.pool.close()
        self.endpoint.settle()
        self.successResultOf(closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def execute(self, fn: Any = lambda taker: taker, session_id: str = "", user: str = "alice") -> Any:
        """What ``fn`` gives, or fails with."""
        asked = self.manager.execute(session_id or self.session_id, fn, user)
        while self.endpoint.connecting:
            self.endpoint.accept()
        return asked

    def taker(self, session_id: str = "") -> Taker:
        """The protocol of a session's connection."""
        taker: Taker = self.successResultOf(self.execute(session_id=session_id))
        return taker

    def test_its_own(self) -> None:
        """The connection is made at the first use; later uses, after other connections came, find it."""
        self.assertEqual(self.endpoint.asked, 0)
        first = self.taker()
        other, live = self.opened()
        self.manager.release(live)
        self.assertIsNot(self.taker(other), first)
        self.assertIs(self.taker(), first)
        self.assertEqual(
            (self.endpoint.asked, self.successResultOf(self.manager.stats())["connected"]), (2, 2)
        )

    def test_for_its_user(self) -> None:
        """Nobody uses the connection of another user's session."""
        refused = self.execute(user="bob")
        self.failureResultOf(refused, ProtocolError)
        self.assertEqual(self.endpoint.asked, 0)

    def test_one_at_a_time(self) -> None:
        """Whoever comes while it is used waits; in the order in which they came."""
        answers: list[Deferred[str]] = [Deferred(), Deferred()]
        begun: list[int] = []

        def use(number: int) -> Any:
            begun.append(number)
            return answers[number]

        uses = [self.execute(lambda _, number=number: use(number)) for number in range(2)]
        self.assertEqual(begun, [0])
        answers[0].callback("a")
        self.assertEqual((begun, self.successResultOf(uses[0])), ([0, 1], "a"))
        answers[1].callback("b")
        self.assertEqual(self.successResultOf(uses[1]), "b")

    def test_coroutines(self) -> None:
        """What is called may be a coroutine."""

        async def use(taker: Taker) -> str:
            return f"{taker.events}"

        self.assertEqual(self.successResultOf(self.execute(use)), "['made']")

    def test_failed_use(self) -> None:
        """When a use fails nobody knows what it left: the connection is closed, and the next one is new."""
        first = self.taker()
        self.failureResultOf(self.execute(lambda _: 1 // 0), ZeroDivisionError)
        self.endpoint.settle()
        self.assertEqual((self.endpoint.open, self.resets), (0, []))
        self.assertIsNot(self.taker(), first)

    def test_cancelled_use(self) -> None:
        """So it is when somebody gives a use up."""
        first = self.taker()
        asked = self.execute(lambda _: Deferred())
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertIsNot(self.taker(), first)

    def test_lost(self) -> None:
        """A connection that its server has closed is made anew at the next use."""
        first = self.taker()
        self.endpoint.transports[0].lose()
        self.assertEqual(self.successResultOf(self.manager.stats())["connected"], 0)
        self.assertIsNot(self.taker(), first)

    def test_cannot_connect(self) -> None:
        """A use fails as the connecting does, and the next one tries again."""
        asked = self.manager.execute(self.session_id, lambda _: None, "alice")
        self.endpoint.refuse()
        self.failureResultOf(asked, ConnectFailed)
        self.clock.advance(1.0)
        self.assertIsInstance(self.taker(), Taker)

    def test_given_back_when_destroyed(self) -> None:
        """A session that ends gives its connection back, which the pool resets and lends again."""
        first = self.taker()
        self.successResultOf(self.manager.destroy(self.resumed(self.session_id)))
        self.assertEqual((self.endpoint.open, self.resets), (1, ["a"]))
        other, live = self.opened()
        self.manager.release(live)
        self.assertIsNot(self.taker(other), first)
        self.assertEqual(self.endpoint.asked, 1)

    def test_given_back_when_expired(self) -> None:
        """So it is when it expires, by a sweep; not while it is used."""
        self.manager.start()
        self.taker()
        for _ in range(9):
            self.clock.advance(10.0)
        self.taker()
        for _ in range(10):
            self.clock.advance(10.0)
        self.assertEqual(self.resets, [])
        self.clock.advance(10.0)
        self.assertEqual(self.resets, ["a"])

    def test_given_back_behind_a_use(self) -> None:
        """A use under way comes to its end first; one that waits is refused."""
        answer: Deferred[str] = Deferred()
        asked, late = self.execute(lambda _: answer), self.execute()
        self.successResultOf(self.manager.destroy(self.resumed(self.session_id)))
        self.assertEqual(self.resets, [])
        answer.callback("done")
        self.assertEqual(self.successResultOf(asked), "done")
        self.failureResultOf(late, Closed)
        self.assertEqual(self.resets, ["a"])

    def test_a_protocol_that_cannot_be_built(self) -> None:
        """When the protocol fails to begin, the pool has the connection back, and closes it."""

        class Broken(Taker):
            def connectionMade(self) -> None:
                raise ZeroDivisionError

        self.manager = self.make_manager(SessionConnections.of_pool(self.pool, Broken))
        self.failureResultOf(self.execute(), ZeroDivisionError)
        self.endpoint.settle()
        self.assertEqual(self.endpoint.open, 0)

    def test_says_its_state(self) -> None:
        """It tells whose it is, and whether it is connected."""
        live = self.resumed(self.session_id)
        connection = self.manager.connection(live)
        self.assertEqual(repr(connection), "<SessionConnection of a session of alice: unconnected>")
        self.taker()
        self.assertIn("alice: <PooledLease a", repr(connection))
        self.manager.release(live)

    def test_of_an_upstream(self) -> None:
        """Connections may be an upstream's: they go back to the pool of the server that was picked."""
        upstream: Any = SimpleNamespace(acquire=self.pool.acquire, pools={"a": self.pool})
        self.manager = self.make_manager(SessionConnections.of_upstream(upstream, Taker))
        self.taker()
        self.successResultOf(self.manager.destroy(self.resumed(self.session_id)))
        self.assertEqual((self.endpoint.open, self.resets), (1, ["a"]))

    def test_without(self) -> None:
        """A manager that was given none to have says so."""
        manager = SessionManager(self.store, self.clock)
        session_id, live = self.successResultOf(manager.create("alice"))
        self.failureResultOf(manager.execute(session_id, lambda _: None, "alice"), ValueError)
        manager.release(live)

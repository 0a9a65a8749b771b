"""Whatever happens to a pool, and whatever those it answers do about it before it is done."""

from __future__ import annotations

import random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from tcpsuite.core.pooling import PoolSettings
from tcpsuite.core.servers import Server
from tcpsuite.errors import TcpsuiteError
from tcpsuite.net.pool import ConnectionPool
from tcpsuite.testing.endpoints import ScriptedEndpoint, ScriptedTransport
from tcpsuite.testing.takers import Taker

SERVER = Server("a", "tcp:192.0.2.1:1")
MAXIMUM, WAITERS = 3, 4


class Guest(Taker):
    """Tells when it hears bytes on a connection that its client does not have any more.

    :ivar brief: whether it is done as soon as it begins.
    """

    transport: ScriptedTransport

    def __init__(self, client, brief):
        super().__init__()
        self.client = client
        self.brief = brief

    def connectionMade(self):
        super().connectionMade()
        if self.brief:
            self.client.release()

    def dataReceived(self, data):
        super().dataReceived(data)
        if self.client.lease is None:
            self.client.machine.heard.append(self.transport)


class Client:
    """Asks for a connection, and does what it has a mind to as soon as it is answered.

    :ivar answers: how many it got.
    :ivar lease: what it has.
    """

    def __init__(self, machine, deeds):
        self.machine = machine
        self.deeds = deeds
        self.answers = 0
        self.lease = None
        self.taker: Taker | None = None
        machine.clients.append(self)
        self.asked = machine.pool.acquire()
        self.asked.addCallbacks(self.served, self.refused)
        self.asked.addErrback(machine.broken.append)

    def served(self, lease):
        self.answers += 1
        self.lease = lease
        self.act()

    def refused(self, failure):
        self.answers += 1
        failure.trap(TcpsuiteError, CancelledError)
        self.act()

    def act(self):
        for deed in self.deeds:
            getattr(self, deed)()

    def attach(self, brief=False):
        if self.lease is not None and self.taker is None:
            self.taker = Guest(self, brief)
            self.lease.attach(self.taker)

    def attach_briefly(self):
        self.attach(brief=True)

    def release(self):
        if self.lease is not None:
            self.machine.pool.release(self.lease)
            self.lease = None

    def cancel_another(self):
        for client in self.machine.waiting()[:1]:
            client.asked.cancel()

    def ask(self):
        Client(self.machine, ())

    def ask_and_cancel(self):
        Client(self.machine, ()).asked.cancel()

    def pause(self):
        self.machine.pool.pause(3.0)

    def resume(self):
        self.machine.pool.resume()


DEEDS = st.lists(
    st.sampled_from(
        ["attach", "attach_briefly", "release", "cancel_another", "ask", "ask_and_cancel", "pause", "resume"]
    ),
    max_size=3,
)


class ReusingPoolMachine(RuleBasedStateMachine):
    """Each who asks has one answer, no connection has two takers, and a closed pool leaves nothing."""

    mode = "message"

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.endpoint = ScriptedEndpoint()
        settings = PoolSettings(
            self.mode, max_connections=MAXIMUM, min_connections=1, max_waiters=WAITERS, acquire_timeout=4.0
        )
        self.pool = ConnectionPool(
            SERVER, self.endpoint, self.clock, settings=settings, chance=random.Random(1)
        )
        self.clients: list[Client] = []
        self.broken: list[object] = []
        self.heard: list[ScriptedTransport] = []
        self.pool.start()
        for _ in range(self.endpoint.connecting):
            self.endpoint.accept()

    def waiting(self):
        return [client for client in self.clients if not client.answers]

    def leasing(self):
        return [client for client in self.clients if client.lease is not None]

    def alive(self):
        return [transport for transport in self.endpoint.transports if transport.connected]

    @rule(deeds=DEEDS)
    def a_client_asks(self, deeds):
        Client(self, deeds)

    @rule(first=st.sampled_from(["cancel_another", "ask_and_cancel", "attach_briefly"]), deeds=DEEDS)
    def a_crowd_is_held_for_a_moment(self, first, deeds):
        self.pool.pause(3.0)
        for each in ([first, *deeds], deeds, []):
            Client(self, each)
        self.pool.resume()

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def a_client_gives_up(self, data):
        client = data.draw(st.sampled_from(self.waiting()))
        client.asked.cancel()
        assert client.answers == 1

    @precondition(lambda self: self.leasing())
    @rule(data=st.data(), attached=st.booleans())
    def a_client_is_done(self, data, attached):
        client = data.draw(st.sampled_from(self.leasing()))
        if attached:
            client.attach()
        client.release()

    @precondition(lambda self: self.endpoint.connecting)
    @rule(good=st.booleans())
    def an_attempt_ends(self, good):
        if good:
            self.endpoint.accept()
        else:
            self.endpoint.refuse()

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), deed=st.sampled_from(["say", "finish", "lose"]))
    def a_server_does_something(self, data, deed):
        transport = data.draw(st.sampled_from(self.alive()))
        getattr(transport, deed)(*([b"x"] if deed == "say" else []))

    @rule()
    def what_was_closed_is_gone(self):
        self.endpoint.settle()

    @rule(seconds=st.sampled_from([0.0, 0.3, 2.0, 40.0]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def it_is_paused(self):
        self.pool.pause(3.0)

    @rule(rate=st.sampled_from([0.0, 2.0]))
    def it_is_resumed(self, rate):
        self.pool.resume(rate)

    @invariant()
    def never_over_the_maximum(self):
        if self.mode == "message":
            assert self.endpoint.connecting + self.endpoint.open <= MAXIMUM

    @invariant()
    def nobody_shares_a_connection(self):
        attached = [
            client.taker.transport
            for client in self.leasing()
            if client.taker is not None and client.taker.transport.connected
        ]
        assert len(set(map(id, attached))) == len(attached)

    @invariant()
    def nobody_hears_what_is_for_others(self):
        for transport in self.heard:
            assert transport.disconnecting or not transport.connected, "it is lent to somebody else"
        self.heard.clear()

    @invariant()
    def each_has_one_answer(self):
        assert all(client.answers <= 1 for client in self.clients)
        assert self.pool.stats()["waiting"] == len(self.waiting())
        assert not self.broken

    def teardown(self):
        closed = self.pool.close()
        for _ in range(3):
            self.clock.advance(0)
            self.endpoint.settle()
        assert closed.called
        assert not self.waiting(), "somebody was forgotten"
        assert not self.broken
        assert (self.endpoint.connecting, self.endpoint.open) == (0, 0)
        assert self.clock.getDelayedCalls() == []


class PreconnectPoolMachine(ReusingPoolMachine):
    """The same, where each connection is lent once."""

    mode = "preconnect"


class OnDemandPoolMachine(ReusingPoolMachine):
    """The same, where each is made for who asks."""

    mode = "on_demand"


ReusingPoolMachineTests = ReusingPoolMachine.TestCase
PreconnectPoolMachineTests = PreconnectPoolMachine.TestCase
OnDemandPoolMachineTests = OnDemandPoolMachine.TestCase

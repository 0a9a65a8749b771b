"""Whatever happens between processes and what they share, in whatever order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tcpsuite.core.limits import Limits, ResourceLimiter, Terms
from tests.support.limit_store import Process, Store, TooLateError

LIMIT, BATCH, NUMBER, LEASE = 10, 2, 3, 9.0
TERMS = Terms(batch=BATCH / LIMIT, refuse=True)
CLIENT = "192.0.2.1"
PROCESSES = st.integers(0, NUMBER - 1)


class Server(Process):
    """A process with the connections of one client."""

    def __init__(self, name, store):
        super().__init__(name, store, LEASE)
        tables = self.sharing.tables("l", {"connections_per_ip": TERMS})
        self.limiter = ResourceLimiter(Limits(connections_per_ip=LIMIT), shared=tables)
        self.open = []

    def admit(self, now):
        verdict = self.limiter.admit(CLIENT, now)
        if verdict.allowed:
            self.open.append(verdict)
        return verdict.allowed


class SharingMachine(RuleBasedStateMachine):
    """Never are there more connections than the limit and one batch of each process; and in the end nothing
    of the limit is lost.
    """

    def __init__(self):
        super().__init__()
        self.store = Store()
        self.born = 0
        self.servers = [self.make() for _ in range(NUMBER)]
        self.late = []

    def make(self):
        self.born += 1
        return Server(f"p{self.born}", self.store)

    @rule(which=PROCESSES, number=st.integers(1, 4))
    def come(self, which, number):
        for _ in range(number):
            self.servers[which].admit(self.store.now)

    @rule(which=PROCESSES, number=st.integers(1, 4))
    def go(self, which, number):
        server = self.servers[which]
        for verdict in server.open[:number]:
            server.limiter.release(verdict)
        del server.open[:number]

    @rule(which=PROCESSES)
    def talk(self, which):
        self.servers[which].talk()

    @rule(which=PROCESSES, numbers=st.tuples(*[st.integers(0, 4)] * NUMBER))
    def come_under_way(self, which, numbers):
        """While an answer is under way others ask, and somebody comes everywhere."""
        server = self.servers[which]
        question = server.ask()
        answer = None if question is None else server.send(question)
        for other, number in zip(self.servers, numbers, strict=True):
            if other is not server:
                other.talk()
            for _ in range(number):
                other.admit(self.store.now)
        if question is not None:
            server.receive(question, answer)

    @rule(which=PROCESSES, now=st.booleans())
    def lose_the_answer(self, which, now):
        """The store hears it, now or later; the process never knows."""
        server = self.servers[which]
        question = server.lose()
        if question is None:
            return
        if now:
            server.send(question)
        else:
            self.late.append((server, question))

    @precondition(lambda self: self.late)
    @rule()
    def come_late(self):
        server, question = self.late.pop(0)
        if server in self.servers:
            try:
                server.send(question)
            except TooLateError:
                assert self.store.living[f"{server._name}.{question.life}"][0] >= question.number

    @rule(which=PROCESSES)
    def turn(self, which):
        self.servers[which].turn()

    @rule(seconds=st.sampled_from([0.05, 0.2, 1.0, 2.9]))
    def time_passes(self, seconds):
        """Nobody is silent for a whole lease: who is, is dead."""
        self.store.now += seconds
        for which, server in enumerate(self.servers):
            if server.sharing.standing.valid_until <= self.store.now + 3:
                if server.sharing.standing.away_since is not None:
                    self.die(which)
                else:
                    server.talk()

    @rule(which=PROCESSES)
    def die(self, which):
        """Its connections are gone; another one begins in its place, and the others' shares grow in time."""
        self.servers[which] = self.make()
        self.servers[which].talk()

    @rule(which=PROCESSES)
    def forget(self, which):
        """The store loses all, when all know of each other, and the first to ask it knows them."""
        for _ in range(2):
            for server in self.servers:
                server.talk()
                server.sharing._next_beat = self.store.now
        self.late.clear()
        self.store.forget()
        if (question := self.servers[which].ask()) is not None:
            self.servers[which].receive(question, self.servers[which].send(question))

    @invariant()
    def never_too_many(self):
        number = sum(len(server.open) for server in self.servers)
        assert number <= LIMIT + NUMBER * BATCH, self.servers

    def teardown(self):
        """All is quiet: what is not used can be used, by anyone."""
        for _ in range(14):
            self.store.now += 1.0
            for server in self.servers:
                server.turn()
                server.talk()
        for server in self.servers:
            assert server.sharing.standing.away_since is None
        total = sum(len(server.open) for server in self.servers)
        first = self.servers[0]
        for _ in range(LIMIT):
            first.talk()
            first.admit(self.store.now)
        found = sum(len(server.open) for server in self.servers)
        assert max(total, LIMIT) <= found <= max(total, LIMIT) + BATCH, (total, found, self.store)


SharingMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestSharing = SharingMachine.TestCase

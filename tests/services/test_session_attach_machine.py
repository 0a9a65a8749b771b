"""Whatever clients and servers do while sessions are attached, nothing is left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost

from tcpsuite.core.attaching.frames import END, Frame, Kind, broken, passed
from tests.support.attached import TIMEOUT, AttachCase, Guest

if TYPE_CHECKING:
    from tcpsuite.testing.endpoints import ScriptedEndpoint, ScriptedTransport

CLIENTS = ("attach", "attach", "attach", "attach", "say", "say", "finish", "lose", "close", "settle")
SERVERS = ("say", "say", "finish", "reset", "settle", "accept", "refuse")
STEPS = st.tuples(
    st.sampled_from(
        [("come", ""), ("wait", ""), ("fill", ""), ("drain", "")]
        + [("client", deed) for deed in CLIENTS]
        + [("server", deed) for deed in SERVERS]
    ),
    st.integers(0, 7),
    st.integers(0, 11),
)
SAID = (
    b"x", b"y" * 700, Frame(Kind.DATA, b"z" * 300).encode(), END.encode(), broken("reset").encode(),
    passed(1).encode(), passed(700).encode(), Frame(Kind.TAKEN).encode(), b"\nATTACH\nQUIT\n",
)  # fmt: skip


class MachineTests(AttachCase):
    """Two sessions, and whoever comes for them."""

    def setUp(self) -> None:
        super().setUp()
        self.finished: set[ScriptedTransport] = set()

    @settings(deadline=None, max_examples=300)
    @given(st.lists(STEPS, min_size=20, max_size=80))
    def test_nothing_is_left(self, steps: list[tuple[tuple[str, str], int, int]]) -> None:
        """Each session has one client at most that is attached, and one connection to a server; when all have
        gone, and their time is over, there is no connection, and no timer.
        """
        self.setUp()
        opened = [self.opened() for _ in range(2)]
        ids = [session_id for _, session_id in opened]
        guests = [guest for guest, _ in opened]
        for (who, what), which, how in steps:
            guest = guests[which % len(guests)]
            if who == "come":
                guests.append(self.guest())
                guests[-1].transport.say(f"RESUME {ids[which % 2]}\n".encode())
            elif who == "client":
                self.client_step(what, guest, how)
            elif who == "server":
                self.server_step(what, self.endpoints["ab"[which % 2]], how)
            elif who == "wait":
                self.clock.advance(10.0 * how)
            elif producer := self.producer(guest.transport if how % 2 else self.server(which, how)):
                (producer.pauseProducing if who == "fill" else producer.resumeProducing)()
            self.look()
        for guest in guests:
            guest.lose()
        self.come_to_an_end()

    def client_step(self, what: str, guest: Guest, how: int) -> None:
        """What a client does."""
        if what == "lose":
            guest.lose()
        elif what == "settle":
            guest.transport.settle()
        elif reads(guest.transport) and guest.transport not in self.finished:
            if what == "attach":
                guest.transport.say(f"ATTACH{self.words(how)}\n".encode())
                if how < 10 and self.endpoints["a"].connecting:
                    self.endpoints["a"].accept()
            elif what == "say":
                guest.transport.say(SAID[how % len(SAID)])
            elif what == "close":
                if how < 2:
                    guest.transport.say(b"CLOSE\n")
            else:
                self.finish(guest.transport)

    def server_step(self, what: str, endpoint: ScriptedEndpoint, how: int) -> None:
        """What a server does."""
        server = self.server("ab".index("a" if endpoint is self.endpoints["a"] else "b"), how)
        if what == "settle":
            endpoint.settle()
        elif what in ("accept", "refuse"):
            if endpoint.connecting:
                (endpoint.accept if what == "accept" else endpoint.refuse)()
        elif server is not None and reads(server) and server not in self.finished:
            if what == "say":
                server.say(bytes(100 * how + 1))
            elif what == "reset":
                server.lose(ConnectionLost())
            else:
                self.finish(server)

    def finish(self, transport: ScriptedTransport) -> None:
        """A far end finishes, behind which it is not read."""
        self.finished.add(transport)
        transport.finish()

    def server(self, which: int, how: int) -> ScriptedTransport | None:
        """An open connection of a server's."""
        found = [each for each in self.endpoints["ab"[which % 2]].transports if each.connected]
        return found[how % len(found)] if found else None

    def words(self, how: int) -> str:
        """Something to be attached to."""
        ends = sorted(self.attachments._ends, key=lambda end: end.mark)
        words = ["", "", " new", " new 0 500", " new 0 500"]
        for end in ends:
            place = end.outgoing.sent
            words += [
                f" {end.mark}",
                f" {end.mark} {place}",
                f" {end.mark} {place} 500",
                f" {end.mark} 1 200",
            ]
        return words[how % len(words)]

    def producer(self, transport: ScriptedTransport | None) -> Any:
        """Whose writing may be held."""
        if transport is None or not transport.connected or transport.disconnecting:
            return None
        return transport.producer

    def look(self) -> None:
        """Nothing is where it should not be."""
        ends = self.attachments._ends
        carriers = [end.carrier for end in ends if end.carrier is not None]
        assert len(carriers) == len(set(carriers))
        assert len(ends) <= 2
        for end in ends:
            assert not end.is_over
            assert (end.deadline is None) == (end.carrier is not None)

    def come_to_an_end(self) -> None:
        """Nobody comes any more."""
        for endpoint in self.endpoints.values():
            while endpoint.connecting:
                endpoint.refuse()
        for _ in range(3):
            self.clock.advance(TIMEOUT + 1)
            for endpoint in self.endpoints.values():
                endpoint.settle()
        assert self.attachments.figures()["attachments"]["attached"] == 0
        assert not self.attachments._ends
        assert not self.sessions._live
        for endpoint in self.endpoints.values():
            for server in endpoint.transports:
                server.lose()
        assert [server.active for server in self.servers.values()] == [0, 0]
        self.clock.advance(60.0)
        assert self.clock.getDelayedCalls() == []


def reads(transport: ScriptedTransport) -> bool:
    """Whether what its far end sends is read."""
    return transport.connected and not transport.disconnecting and transport.producerState == "producing"

"""Servers that are added to an upstream, and removed from it, while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tcpsuite.core.connections import Reason
from tcpsuite.core.ejection import Ejector
from tcpsuite.core.servers import Administration, Server
from tcpsuite.errors import ConnectFailed
from tcpsuite.testing.pools import Taker
from tests.net.test_members import MembersCase

if TYPE_CHECKING:
    from tcpsuite.interfaces import Outcome

DRAIN, MAINT, READY = Administration.DRAIN, Administration.MAINT, Administration.READY


class Asking:
    """Keeps nobody's health, and would ask."""

    asks = True

    def add(self, server: Server) -> None: ...

    def remove(self, server: Server) -> None: ...

    def note(self, server: Server, outcome: Outcome) -> None: ...

    def stop(self) -> None: ...

    def status(self, server: Server) -> dict[str, Any]:
        return {}


class ChangedTests(MembersCase):
    """Servers that come and go while it runs."""

    def test_added(self):
        """A server that is added is picked behind the others; when it is removed it is not."""
        server = self.servers["d"] = Server("d", "tcp:192.0.2.1:99", 3)
        self.members.add(server, self.pool(server))
        self.assertEqual((self.names(), self.members.weights[server]), ("abcd", 3))
        self.down("a", "b", "c")
        _, transport = self.join("d")
        self.members.remove(server, "not wanted")
        self.assertEqual(self.names(), "")
        self.assertTrue(transport.disconnected)
        transport.settle()
        self.clock.advance(0)

    def test_ejected_and_removed(self):
        """Whoever is let in by a removal finds the server that was removed gone."""
        self.build("abc", ejector=Ejector("abc", errors=1))
        self.members.judge(self.servers["a"], False)
        self.assertEqual(self.names(), "bc")
        told = []
        self.members.listen(lambda: told.append(self.names()))
        self.members.remove(self.servers["b"], "not wanted")
        self.members.remove(self.servers["c"], "not wanted")
        self.assertEqual(told, ["c", "", "a"])

    def test_cut_by_an_operator(self):
        """The connections to one server are reset, and counted; each record says why.  Those of clients
        without a record are too, and those that are being made.
        """
        clients = [self.join("a") for _ in range(2)]
        bare = self.upstream.acquire()
        bare_transport = self.endpoints["a"].accept()
        self.successResultOf(bare).attach(Taker())
        making = self.client()
        self.assertEqual(self.members.cut(self.servers["a"], Reason.CUT, "because"), 4)
        self.assertTrue(bare_transport.disconnected)
        bare_transport.settle()
        self.endpoints["b"].accept()
        self.served(making)
        for client, transport in clients:
            self.assertTrue(transport.disconnected)
            self.assertEqual((client.record.reason, client.record.detail), (Reason.CUT, "because"))
            transport.settle()
        self.assertEqual(self.members.cut(self.servers["a"], Reason.CUT, "again"), 0)

    def test_without_checks(self):
        """A server may be taken out and made ready where nobody checks it."""
        self.members.administer(self.servers["a"], MAINT)
        self.assertEqual(self.names(), "bc")
        self.members.administer(self.servers["a"], READY)
        self.assertEqual(self.names(), "abc")

    def test_all_servers_were_tried(self):
        """Each that fails for a client is left out of what it chooses from next."""
        client = self.client()
        for name in "abc":
            self.endpoints[name].refuse()
        self.failureResultOf(client.acquired, ConnectFailed)
        self.assertEqual([pick.choice.candidates for pick in client.record.picks][:3], [
            ("a", "b", "c"), ("b", "c"), ("c",),
        ])  # fmt: skip

    def test_added_and_not_up(self):
        """A server that was added, and has not come up yet, leaves no room for others to be ejected."""
        self.build("ab", watch=lambda moved: Asking(), ejector=Ejector("ab", errors=1))
        for name in "cd":
            self.members.add(Server(name, "tcp:192.0.2.1:99"), self.pool(Server(name, "tcp:192.0.2.1:99")))
        for name in "ab":
            self.members.judge(self.servers[name], False, "refused")
        self.assertEqual([server.name for server in self.members.servers if server.ejected], ["a"])

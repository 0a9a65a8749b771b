"""What an operator may change while it runs."""

from __future__ import annotations

from tcpsuite.core.connections import Reason
from tcpsuite.core.servers import Administration, Server
from tcpsuite.errors import ChangeRefused, StartError
from tcpsuite.net.operating import Change, Operator
from tests.support.upstreams import UpstreamCase


class OperatorTests(UpstreamCase):
    """Three servers; others may be added in two networks."""

    def setUp(self):
        super().setUp()
        self.operator = Operator(self.members, ["10.0.0.0/24", "2001:db8::/32"], self.pool)

    def refused(self, words, change, *arguments, **more):
        """The change is refused in these words, and nothing is changed."""
        before = self.upstream.status()
        error = self.assertRaises(ChangeRefused, change, *arguments, **more)
        self.assertEqual(str(error), words)
        self.assertEqual((self.upstream.status(), self.operator.changes()), (before, []))

    def names(self):
        return "".join(server.name for server in self.members.servers)

    def test_nothing_was_changed(self):
        """At first all is as configured."""
        self.assertEqual(self.operator.changes(), [])
        self.assertEqual(repr(self.operator), "<Operator of db changes=0>")

    def test_state(self):
        """A server may be drained, taken out, and made ready; what is not as configured is told."""
        for state in (Administration.DRAIN, Administration.MAINT):
            self.operator.administer("a", state)
            self.assertEqual(self.operator.changes(), [Change("a", "state", "ready", state.value)])
            self.assertNotIn(self.servers["a"], self.members.usable)
        self.operator.administer("a", Administration.READY)
        self.assertEqual(self.operator.changes(), [])
        self.assertIn(self.servers["a"], self.members.usable)

    def test_weight(self):
        """A weight counts at once, from 0, which takes no connections, up to 256."""
        for weight in (256, 0):
            self.operator.set_weight("a", weight)
            self.assertEqual(self.operator.changes(), [Change("a", "weight", 1, weight)])
        self.assertNotIn(self.servers["a"], self.members.usable)
        self.assertEqual(self.operator.status(self.servers["a"]), {"configured_weight": 1, "added": False})
        self.operator.set_weight("a", 1)
        self.assertEqual(self.operator.changes(), [])
        for weight in (-1, 257):
            words = f"expected a weight from 0 to 256, got {weight}"
            self.refused(words, self.operator.set_weight, "a", weight)

    def test_a_weight_in_a_slow_start_is_as_configured(self):
        """That a slow start lowers a weight is no change of an operator."""
        self.build(slow_start=20.0)
        operator = Operator(self.members)
        self.members.weights.begin(self.servers["a"])
        self.assertEqual(operator.changes(), [])
        operator.set_weight("a", 5)
        self.assertEqual(operator.changes(), [Change("a", "weight", 1, 5)])

    def test_connections_are_killed(self):
        """The connections to one server are reset; it tells how many there were."""
        client, transport = self.join("a")
        self.assertEqual(self.operator.kill_connections("b"), 0)
        self.assertFalse(transport.disconnected)
        self.assertEqual(self.operator.kill_connections("a"), 1)
        self.assertTrue(transport.disconnected)
        self.assertIs(client.record.reason, Reason.CUT)
        self.assertEqual(client.record.detail, "the operator cut the connections to a")
        transport.settle()

    def test_unknown(self):
        """No change is made to a server that there is not."""
        words = "upstream db has no server 'x'; it has a, b, c"
        self.refused(words, self.operator.administer, "x", Administration.DRAIN)
        self.refused(words, self.operator.set_weight, "x", 1)
        self.refused(words, self.operator.kill_connections, "x")
        self.refused(words, self.operator.remove, "x")

    def add(self, name="d", address="tcp:10.0.0.7:5432", weight=2):
        server = Server(name, address, weight)
        self.operator.add(server)
        self.servers[name] = server

    def test_added(self):
        """A server in one of the networks is added behind the others, and is told as added."""
        self.add()
        self.add("e", r"tcp:2001\:db8\:\:7:5432")
        self.assertEqual(self.names(), "abcde")
        self.assertEqual(self.operator.changes()[0], Change("d", "added", None, "tcp:10.0.0.7:5432"))
        self.assertEqual(self.operator.status(self.servers["d"]), {"configured_weight": None, "added": True})
        self.down("a", "b", "c")
        self.join("d")

    def test_not_added(self):
        """A name that is taken, a weight that is none, and an address elsewhere are refused."""
        cases = {
            ("a", "tcp:10.0.0.7:5432", 1): "upstream db has a server 'a' already",
            ("d", "tcp:10.0.0.7:5432", 257): "expected a weight from 0 to 256, got 257",
            ("d", "tcp:10.0.1.7:5432", 1): (
                "10.0.1.7 is in none of the networks of upstream db: 10.0.0.0/24, 2001:db8::/32"
            ),
        }
        for server, words in cases.items():
            self.refused(words, self.operator.add, Server(*server))

    def test_not_added_without_a_pool(self):
        """A pool of somebody's own that cannot be built is a refusal, and no fault of ours."""

        def make_pool(server):
            raise StartError("upstream db: quota:Quota cannot be used: no room")

        self.operator = Operator(self.members, ["10.0.0.0/24"], make_pool)
        words = "upstream db: quota:Quota cannot be used: no room"
        self.refused(words, self.operator.add, Server("d", "tcp:10.0.0.4:1"))

    def test_only_a_plain_address(self):
        """From outside neither a name, a path, an option nor another kind of endpoint is taken."""
        for address in (
            "tcp:db.example:5432", "unix:/run/db.sock", "tcp:10.0.0.7:5432:timeout=9", "tls:10.0.0.7:5432",
            "tcp:10.0.0.7", "tcp:10.0.0.7:65536", "tcp:10.0.0.7:0", "tcp:10.0.0.7:-1", "tcp:10.0.0.7:٣",
            "tcp:10.0.0.7:5432:30", "tcp:", "tcp:10.0.0.7:" + "9" * 5000, "os:system",
            r"tcp:2001\:db8\:\:7%eth0/../:80", "systemd:domain=INET:index=0", "tcp:10.0.0.7:80\n",
            "tcp:10.0.0.7:x", "haproxy:tcp:10.0.0.7:5432", "",
            "10.0.0.7",
        ):  # fmt: skip
            words = f"expected an address such as tcp:10.0.0.1:5432, got {address!r}"
            self.refused(words, self.operator.add, Server("d", address))

    def test_without_networks(self):
        """Where the configuration names no network, none may be added."""
        self.operator = Operator(self.members, (), self.pool)
        words = (
            "upstream db takes no server while it runs: its option networks names none that it could be in"
        )
        self.refused(words, self.operator.add, Server("d", "tcp:10.0.0.7:5432"))

    def test_removed(self):
        """A server without connections is removed; of a configured one it is told, of an added one not."""
        self.add()
        self.operator.remove("d")
        self.assertEqual((self.names(), self.operator.changes()), ("abc", []))
        self.operator.remove("a")
        self.assertEqual(self.names(), "bc")
        self.assertEqual(self.operator.changes(), [Change("a", "removed", "tcp:192.0.2.1:97", None)])

    def test_not_removed(self):
        """One that has connections stays unless it is forced, and then they are reset."""
        client, transport = self.join("a")
        words = "server a of upstream db has 1 connection: drain it, or kill them"
        self.refused(words, self.operator.remove, "a")
        self.operator.remove("a", force=True)
        self.assertTrue(transport.disconnected)
        self.assertIs(client.record.reason, Reason.CUT)
        self.assertEqual(self.names(), "bc")
        transport.settle()
        self.clock.advance(0)

    def test_never_the_last_one(self):
        """The last server stays, even if it is forced."""
        self.build("a")
        self.operator = Operator(self.members)
        self.refused("a is the last server of upstream db", self.operator.remove, "a", force=True)

    def test_added_again_as_it_was(self):
        """A configured server that was removed and is added again as it was is no change; with another
        weight that alone is one.
        """
        self.operator = Operator(self.members, ["192.0.2.0/24"], self.pool)
        address = self.servers["a"].address
        for weight, changes in ((1, []), (3, [Change("a", "weight", 1, 3)]), (1, [])):
            self.operator.remove("a")
            self.assertEqual(self.operator.changes(), [Change("a", "removed", address, None)])
            self.endpoints.pop("a")
            self.add("a", address, weight)
            self.assertEqual(self.operator.changes(), changes)
            self.assertFalse(self.operator.status(self.servers["a"])["added"])

    def test_added_again(self):
        """A name that was removed may be added again."""
        self.operator.remove("a")
        self.endpoints.pop("a")
        self.add("a")
        self.assertEqual(self.names(), "bca")
        self.down("b", "c")
        self.join("a")

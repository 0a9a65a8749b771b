"""What came over the network fits exactly, or nothing is changed."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.admin.changes import (
    Add,
    Administer,
    ClearAffinity,
    KillConnections,
    MisreadError,
    Pause,
    Remove,
    Resume,
    SetWeight,
    parse,
    server_change,
    upstream_change,
)
from tcpsuite.core.servers import Administration
from tcpsuite.net.options import ServerOptions
from tcpsuite.options import ClientEndpoint

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def fault(read: Any, value: Any) -> str:
    """What is wrong with ``value``."""
    try:
        read(value)
    except MisreadError as error:
        return str(error)
    raise AssertionError(f"{value!r} was taken")


class ParseTests(SynchronousTestCase):
    def test_json(self) -> None:
        """A body is JSON in UTF-8."""
        self.assertEqual(parse('{"a": ["é"]}'.encode()), {"a": ["é"]})

    def test_none(self) -> None:
        """What is no JSON is said to be none, however it goes wrong."""
        for body in (
            b"", b"{", b"state=drain", b'{"a": \xff}', b"[" * 4096, b'{"a":' * 800, b"9" * 5000, b"'a'",
            b'{"a": 1} x',
        ):  # fmt: skip
            self.assertTrue(fault(parse, body).startswith("expected a JSON object ("), body)

    def test_no_numbers(self) -> None:
        """NaN and infinity are not JSON, and no number of anything."""
        for text in ("NaN", "Infinity", "-Infinity"):
            self.assertEqual(
                fault(parse, f'{{"pause": {text}}}'.encode()), f"expected a number, got '{text}'"
            )

    def test_twice(self) -> None:
        """Of a member that comes twice nobody knows which is meant."""
        self.assertEqual(
            fault(parse, b'{"weight": 1, "weight": 2}'), "expected each member once, got 'weight'"
        )

    @given(st.binary(max_size=40))
    def test_any_bytes(self, body: bytes) -> None:
        """Any bytes are JSON, or are said not to be."""
        with contextlib.suppress(MisreadError):
            parse(body)


class ServerChangeTests(SynchronousTestCase):
    def test_state(self) -> None:
        """A server is made ready, drained or taken out."""
        for state in Administration:
            self.assertEqual(server_change({"state": state.value}), Administer(state))
        wrong: Any
        for wrong in ("Drain", "", None, 1, ["drain"], {}):
            self.assertEqual(
                fault(server_change, {"state": wrong}),
                f"state: expected one of ready, drain, maint, got {wrong!r}",
            )

    def test_weight(self) -> None:
        """A weight is a whole number, as the configuration takes it."""
        for weight in (0, 1, 256):
            self.assertEqual(server_change({"weight": weight}), SetWeight(weight))
        wrong: Any
        for wrong in (-1, 257):
            self.assertEqual(
                fault(server_change, {"weight": wrong}),
                f"weight: expected a value from 0 to 256, got {wrong}",
            )
        for wrong in (1.5, "3", True, None):
            self.assertEqual(
                fault(server_change, {"weight": wrong}),
                f"weight: expected a whole number, got {wrong!r}",
            )

    def test_kill(self) -> None:
        """Connections are cut on a plain yes only."""
        self.assertEqual(server_change({"kill_connections": True}), KillConnections())
        for wrong in (False, 1, "true"):
            self.assertEqual(
                fault(server_change, {"kill_connections": wrong}),
                f"kill_connections: expected true, got {wrong!r}",
            )

    def test_one(self) -> None:
        """A change is one change."""
        wrong: Any
        for wrong in ({}, {"state": "drain", "weight": 1}, [], "drain", None):
            self.assertEqual(
                fault(server_change, wrong),
                f"expected an object with one of state, weight, kill_connections, got {wrong!r}",
            )
        self.assertIn("got 'pause'", fault(server_change, {"pause": 3}))


class UpstreamChangeTests(SynchronousTestCase):
    def test_pause(self) -> None:
        """A pause lasts some seconds at most, or as long as is configured."""
        self.assertEqual(upstream_change({"pause": 30}), Pause(30.0))
        self.assertEqual(upstream_change({"pause": 0.5}), Pause(0.5))
        self.assertEqual(upstream_change({"pause": True}), Pause(None))
        self.assertEqual(str(Pause(None)), "pause")
        for wrong in (0, -1, 86_401, False, "30", None, 10**400):
            self.assertIn(
                "pause: expected true, or a number above 0 and up to 86400 seconds",
                fault(upstream_change, {"pause": wrong}),
            )

    def test_resume(self) -> None:
        """Those who wait are let in at a rate, or all at once."""
        self.assertEqual(upstream_change({"resume": True}), Resume(0.0))
        self.assertEqual(upstream_change({"resume": 100}), Resume(100.0))
        self.assertEqual(str(Resume(100.0)), "resume, 100 a second")
        self.assertIn("clients a second", fault(upstream_change, {"resume": 0}))

    def test_add(self) -> None:
        """A server is added with what the configuration could say of it."""
        told = {
            "name": "c", "address": "tcp:10.0.0.9:5432", "weight": 2, "max_connections": 80, "backup": True,
        }  # fmt: skip
        self.assertEqual(
            upstream_change({"add": told}),
            Add(
                ServerOptions(
                    name="c",
                    address=ClientEndpoint("tcp:10.0.0.9:5432"),
                    weight=2,
                    max_connections=80,
                    backup=True,
                )
            ),
        )

    def test_add_wrong(self) -> None:
        """Each word of it is judged, and what it lacks is said."""
        good = {"name": "c", "address": "tcp:10.0.0.9:5432"}
        for told, said in (
            ("c", "add: expected an object of name, address, weight"),
            ({}, "add.name: expected your name for the server, unique in its upstream, got nothing"),
            ({"name": "c"}, "add.address: expected a Twisted client endpoint string, "),
            ({**good, "address": "tcp:10.0.0.1:" + "9" * 5000}, "add.address: expected 1 to 64 printable"),
            ({**good, "address": ["tcp:10.0.0.1:1"]}, "add.address: expected 1 to 64 printable"),
            ({**good, "wieght": 1}, "got 'wieght'"),
            ({**good, "weight": 257}, "add.weight: expected a value from 0 to 256, got 257"),
            ({**good, "weight": "1"}, "add.weight: expected a whole number, got '1'"),
            ({**good, "backup": 1}, "add.backup: expected true or false, got 1"),
            ({**good, "name": ""}, "add.name: expected 1 to 64 printable characters, got ''"),
            ({**good, "name": "  "}, "add.name: expected some text, got '  '"),
            ({**good, "name": "a\nb"}, "add.name: expected 1 to 64 printable characters"),
            ({**good, "name": "c" * 65}, "add.name: expected 1 to 64 printable characters"),
            ({**good, "name": 3}, "add.name: expected 1 to 64 printable characters, got 3"),
        ):
            self.assertIn(said, fault(upstream_change, {"add": told}))

    def test_remove(self) -> None:
        """A server is removed when it is empty, or by force."""
        self.assertEqual(upstream_change({"remove": {"name": "c"}}), Remove("c", False))
        self.assertEqual(upstream_change({"remove": {"name": "c", "force": True}}), Remove("c", True))
        self.assertEqual(str(Remove("c", False)), "remove c")
        for told, said in (
            ("c", "remove: expected an object of name, force, got 'c'"),
            ({}, "remove.name: expected 1 to 64 printable characters, got None"),
            ({"name": "c", "force": 1}, "remove.force: expected true or false, got 1"),
            ({"name": "c", "now": True}, "remove: expected an object of name, force, got 'now'"),
        ):
            self.assertIn(said, fault(upstream_change, {"remove": told}))

    def test_clear_affinity(self) -> None:
        """One client is forgotten by its address, in any way to write it, or all are by a plain yes."""
        self.assertEqual(upstream_change({"clear_affinity": True}), ClearAffinity(None))
        for written in ("2001:db8::1", "2001:DB8:0::1"):
            self.assertEqual(upstream_change({"clear_affinity": written}), ClearAffinity("2001:db8::1"))
        for wrong in (False, 1, None, "", "example", "192.0.2.0/24", ["192.0.2.1"], "fe80::1%\n", "1" * 99):
            self.assertEqual(
                fault(upstream_change, {"clear_affinity": wrong}),
                f"clear_affinity: expected true, or an IP address, got {wrong!r}",
            )

    @given(
        st.dictionaries(
            st.sampled_from(["pause", "resume", "add", "remove", "clear_affinity", "state", "weight"]), JSON
        )
    )
    def test_any_json(self, value: Any) -> None:
        """Whatever comes is a change, or is said not to be one."""
        for read in (server_change, upstream_change):
            with contextlib.suppress(MisreadError):
                read(value)

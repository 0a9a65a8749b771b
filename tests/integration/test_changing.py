"""A running process that is asked why, and changed, with clients on it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.support.programs import free_port, run, wait_until
from tests.integration.support.suites import BIN, Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GATEWAY = """
[listener.front]
endpoint = "tcp:<front>:interface=127.0.0.1"
service = "gateway"
upstream = "echo"

[upstream.echo]
servers = [
  { name = "a", address = "tcp:127.0.0.1:<a>" },
  { name = "b", address = "tcp:127.0.0.1:<b>" },
]
health = { mode = "none" }
networks = ["127.0.0.0/8"]
pause_timeout = "10s"

[listener.echo]
endpoint = ["tcp:<a>:interface=127.0.0.1", "tcp:<b>:interface=127.0.0.1", "tcp:<c>:interface=127.0.0.1"]
service = "echo"

[manhole]
enabled = true

[access_log]
path = "-"
format = "json"
"""


def command(suite: Suite, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """``tcpsuite`` with some words, about this process."""
    url = f"http://127.0.0.1:{suite.ports['admin']}"
    return run(BIN / "tcpsuite", *arguments, "--admin", url, **options)


def change(suite: Suite, *arguments: str) -> str:
    """What a change is said to have done."""
    return command(suite, *arguments).stdout.strip()


def refused(suite: Suite, *arguments: str) -> str:
    """What is said of a change that is not made."""
    done = command(suite, *arguments, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.strip()


def ask(connection: socket.socket, data: bytes = b"x") -> bytes:
    """The answer of an echo."""
    connection.sendall(data)
    return connection.recv(len(data), socket.MSG_WAITALL)


@contextmanager
def client(suite: Suite) -> Iterator[socket.socket]:
    """A client that has had its first answer."""
    with socket.create_connection(("127.0.0.1", suite.ports["front"]), timeout=20) as connection:
        assert ask(connection) == b"x"
        yield connection


def come_in_vain(suite: Suite) -> None:
    """A client that is reset, perhaps before it knows that it was connected."""
    with pytest.raises(ConnectionResetError):
        client(suite).__enter__()


def name_of(connection: socket.socket) -> str:
    """What the gateway calls a client."""
    host, port = connection.getsockname()
    return f"{host}:{port}"


def lines(suite: Suite) -> list[dict[str, Any]]:
    """What the access log has of the gateway's connections."""
    found = [json.loads(line) for line in suite.output.splitlines() if line.startswith("{")]
    return [line for line in found if line["listener"] == "front"]


def line_of(suite: Suite, name: str) -> dict[str, Any]:
    """The line of a client that has left."""
    (line,) = wait_until(
        lambda: [line for line in lines(suite) if line["peer"] == name], f"the line of {name}"
    )
    return line


def servers(suite: Suite, number: int) -> list[str]:
    """Which servers so many clients get, one after the other."""
    names = []
    for _ in range(number):
        with client(suite) as connection:
            names.append(name_of(connection))
    return [line_of(suite, name)["server"] for name in names]


def active(suite: Suite) -> dict[str, int]:
    """How many connections each server has."""
    return {each["name"]: each["active"] for each in suite.status()["upstreams"]["echo"]["servers"]}


def test_why(serve: Callable[..., Suite]) -> None:
    """The page, the command and the manhole explain alike a client that was moved from a dead server."""
    suite = serve(GATEWAY.replace("tcp:127.0.0.1:<a>", "tcp:127.0.0.1:<dead>"), ports={"dead": free_port()})
    assert servers(suite, 1) == ["b"]
    (line,) = lines(suite)
    connection_id = line["id"]

    page = json.loads(suite.get(f"/api/v1/explain/{connection_id}")[1])
    first, second = page["attempts"]
    assert (first["server"], first["error"], first["candidates"]) == ("a", "connection refused", ["a", "b"])
    assert (second["server"], second["error"], second["candidates"]) == ("b", "", ["b"])
    assert second["left_out"][0]["why"] == "tried"
    assert (page["strategy"], first["figures"]["earned"]) == ("round_robin", {"a": 1, "b": 1})
    assert second["figures"] == {"weight": {"b": 1}, "earned": {"b": 2}}
    assert page["reason"] == "client_closed"

    text = command(suite, "explain", connection_id).stdout
    assert "1. a: failed after " in text
    assert "2. b: connected in " in text
    assert "   not a: tried, it failed for this client a moment ago\n" in text
    assert "   by round_robin: the one that had earned most; " in text
    asked = run(BIN / "tcpsuite", "explain", connection_id, "--json", "--config", suite.config)
    assert json.loads(asked.stdout) == page
    env = {**os.environ, "STATE_DIRECTORY": str(suite.config.parent / "state")}
    words = ("manhole", "--config", suite.config)
    assert run(BIN / "tcpsuite", *words, input=f"why({connection_id!r})\n", env=env).stdout == text
    assert suite.get("/api/v1/explain/none")[0] == 404
    suite.finish()


def test_why_nobody(serve: Callable[..., Suite]) -> None:
    """A client that no server was there for is told, of each, why not."""
    suite = serve(GATEWAY)
    change(suite, "server", "echo/a", "drain")
    change(suite, "server", "echo/b", "maint")
    come_in_vain(suite)
    (line,) = wait_until(lambda: lines(suite), "its line")
    text = command(suite, "explain", line["id"]).stdout
    assert "   not a: draining, an operator lets it run empty\n" in text
    assert "   not b: maint, an operator has taken it out\n" in text
    assert "\nended: no_server, " in text
    suite.finish()


def test_whatif(serve: Callable[..., Suite]) -> None:
    """It says who comes next, as often as one asks, and takes nobody's turn."""
    suite = serve(GATEWAY)
    asked = [command(suite, "whatif", "--upstream", "echo", "--client", "192.0.2.1").stdout for _ in range(3)]
    assert len(set(asked)) == 1
    assert asked[0].startswith("192.0.2.1 would go to a\n")
    assert servers(suite, 2) == ["a", "b"]
    assert command(suite, "whatif", "--upstream=echo", "--client=192.0.2.1").stdout == asked[0]
    change(suite, "server", "echo/a", "drain")
    change(suite, "server", "echo/b", "drain")
    nobody = command(suite, "whatif", "--upstream", "echo", check=False)
    assert (nobody.returncode, "   not b: draining, " in nobody.stdout) == (1, True)
    suite.finish()


def test_drain_and_kill(serve: Callable[..., Suite]) -> None:
    """A drained server keeps what it has and gets nothing new until it is ready; what it has can be cut."""
    suite = serve(GATEWAY)
    with client(suite) as before:
        name = name_of(before)
        assert active(suite) == {"a": 1, "b": 0}
        assert change(suite, "server", "echo/a", "drain") == "echo/a: drain"
        assert servers(suite, 3) == ["b", "b", "b"]
        assert ask(before, b"still here") == b"still here"
        shown = command(suite, "upstream", "echo").stdout
        assert "changed: a state: drain, configured ready\n" in shown
        assert suite.status()["upstreams"]["echo"]["changes"] == [
            {"server": "a", "what": "state", "configured": "ready", "now": "drain"}
        ]
        assert change(suite, "server", "echo/a", "kill-connections") == "echo/a: 1 connection cut"
        with pytest.raises(ConnectionResetError):
            before.recv(1)
    line = line_of(suite, name)
    assert (line["server"], line["reason"]) == ("a", "cut")
    change(suite, "server", "echo/a", "ready")
    assert sorted(servers(suite, 4)) == ["a", "a", "b", "b"]
    assert suite.status()["upstreams"]["echo"]["changes"] == []
    assert 'tcpsuite_changes_total{change="kill_connections",upstream="echo"} 1' in suite.get("/metrics")[1]
    assert " changed echo/a: drain" in suite.output
    suite.finish()


@contextmanager
def hanging() -> Iterator[int]:
    """The port of a server with which no connection is ever made: its queue is full, and it accepts none."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = server.getsockname()
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield address[1]


def test_kill_what_is_being_made(serve: Callable[..., Suite]) -> None:
    """A client that is being connected to a server whose connections are cut is counted, and gets another."""
    with hanging() as port:
        text = GATEWAY.replace('"tcp:127.0.0.1:<a>" }', f'"tcp:127.0.0.1:{port}" }}')
        patient = 'connect_timeout = "60s"\nconnect_budget = "60s"\n'
        suite = serve(text.replace("pause_timeout", f"{patient}pause_timeout"))
        with socket.create_connection(("127.0.0.1", suite.ports["front"]), timeout=20) as waiting:
            waiting.sendall(b"x")
            wait_until(lambda: active(suite) == {"a": 1, "b": 0}, "it was being connected")
            assert change(suite, "server", "echo/a", "kill-connections") == "echo/a: 1 connection cut"
            assert waiting.recv(1) == b"x"
            assert active(suite) == {"a": 0, "b": 1}
        suite.finish()


def test_weight(serve: Callable[..., Suite]) -> None:
    """A new weight is the share from then on, and is shown beside the one of the configuration."""
    suite = serve(GATEWAY)
    change(suite, "server", "echo/b", "weight", "3")
    assert sorted(servers(suite, 8)) == ["a"] * 2 + ["b"] * 6
    assert " 3 (configured 1) " in command(suite, "server", "echo/b", "show").stdout
    assert "weight: expected a value from 0 to 256, got 257" in refused(
        suite, "server", "echo/b", "weight", "257"
    )
    suite.finish()


def test_pause(serve: Callable[..., Suite]) -> None:
    """While an upstream is paused new clients wait, and those that have a server notice nothing."""
    suite = serve(GATEWAY)
    with ExitStack() as clients:
        before = clients.enter_context(client(suite))
        change(suite, "upstream", "echo", "pause")
        waiting = [
            clients.enter_context(closing(socket.create_connection(("127.0.0.1", suite.ports["front"]), 20)))
            for _ in range(3)
        ]
        for each in waiting:
            each.sendall(b"hello")
        wait_until(lambda: suite.status()["upstreams"]["echo"]["queue"]["waiting"] == 3, "three waited")
        assert ask(before) == b"x"
        assert (
            ", paused (a client waits 10 s at most), 3 waiting for a server\n"
            in command(suite, "upstream", "echo").stdout
        )
        assert 'tcpsuite_upstream_waiting{upstream="echo"} 3' in suite.get("/metrics")[1]
        assert change(suite, "upstream", "echo", "resume") == "echo: resume"
        for each in waiting:
            assert each.recv(5, socket.MSG_WAITALL) == b"hello"
        names = [name_of(each) for each in waiting]
    for name in names:
        why = command(suite, "explain", line_of(suite, name)["id"]).stdout
        assert " ms for a server: paused, an operator's pause\n" in why
    suite.finish()


def test_pause_ends(serve: Callable[..., Suite]) -> None:
    """Who has waited as long as the pause allows is turned away, and the record says so."""
    suite = serve(GATEWAY)
    change(suite, "upstream", "echo", "pause", "100ms")
    come_in_vain(suite)
    (line,) = wait_until(lambda: lines(suite), "its line")
    assert line["reason"] == "no_room"
    suite.finish()


def test_add_and_remove(serve: Callable[..., Suite]) -> None:
    """A server is added within the networks only, and gets its share; it goes when empty, or by force."""
    suite = serve(GATEWAY)
    place = f"tcp:127.0.0.1:{suite.ports['c']}"
    assert change(suite, "upstream", "echo", "add", "c", place) == f"echo: add c at {place}"
    assert sorted(servers(suite, 3)) == ["a", "b", "c"]
    assert f"changed: c added: {place}" in command(suite, "upstream", "echo").stdout
    assert "is in none of the networks" in refused(suite, "upstream", "echo", "add", "d", "tcp:192.0.2.1:1")
    assert "already" in refused(suite, "upstream", "echo", "add", "a", place)
    assert "an address such as tcp:" in refused(suite, "upstream", "echo", "add", "d", "unix:/run/d")

    for name in "ab":
        change(suite, "server", f"echo/{name}", "drain")
    with client(suite) as connection:
        assert "drain it" in refused(suite, "upstream", "echo", "remove", "c")
        assert change(suite, "upstream", "echo", "remove", "c", "--force") == "echo: remove c, by force"
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert list(active(suite)) == ["a", "b"]
    suite.finish()


def test_no_form_of_another_site(serve: Callable[..., Suite]) -> None:
    """What a browser would send for the page of another site changes nothing."""
    suite = serve(GATEWAY)
    value = json.dumps({"state": "maint"})

    def post(**headers: str) -> int:
        sent = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        connection = http.client.HTTPConnection("127.0.0.1", suite.ports["admin"], timeout=10)
        with closing(connection):
            connection.request("POST", "/api/v1/server/echo/a", value, sent)
            return connection.getresponse().status

    assert post(Content_Type="text/plain", Origin="http://example.com") == 403
    assert post(Content_Type="text/plain") == 415
    assert post(Origin="null") == 403
    assert suite.status()["upstreams"]["echo"]["changes"] == []
    assert post(Origin=f"http://127.0.0.1:{suite.ports['admin']}") == 200
    suite.finish()

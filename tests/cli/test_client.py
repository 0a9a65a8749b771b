"""``tcpsuite explain``, ``whatif``, ``server`` and ``upstream``, asking an admin listener on real sockets."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from attrs import frozen
from click.testing import CliRunner, Result
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs

from tcpsuite.admin.http import AdminListener, AdminOptions
from tcpsuite.cli import client, main
from tcpsuite.core.queueing import WhyHeld
from tcpsuite.core.servers import Administration
from tcpsuite.options import Endpoints, Secret
from tests.admin.support import FakeChange, FakeSuite, busy_suite
from tests.support.sockets import write_certificate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN = "s3cret-of-énough"


async def invoke(*arguments: str, **env: str) -> Result:
    """The command, called in a thread: it waits for what this one answers."""
    calling: Deferred[Result] = deferToThread(CliRunner().invoke, main, arguments, env=env)
    return await calling


@frozen
class Bench:
    """A suite, and where its admin listener is."""

    suite: FakeSuite
    url: str
    folder: Path

    async def run(self, *arguments: str) -> str:
        """What a command prints that does well."""
        result = await invoke(*arguments, "--admin", self.url, TCPSUITE_ADMIN_TOKEN=TOKEN)
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        return result.stdout

    async def fail(self, *arguments: str) -> str:
        """What a command says that does not."""
        result = await invoke(*arguments, "--admin", self.url, TCPSUITE_ADMIN_TOKEN=TOKEN)
        assert (result.exit_code, result.stdout) == (1, "")
        return result.stderr

    @property
    def told(self) -> list[tuple[Any, ...]]:
        return self.suite.upstreams["cache"].operator.told


@pytest_twisted.async_yield_fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    from twisted.internet import reactor

    suite = busy_suite()
    endpoints = Endpoints(("tcp:0:interface=127.0.0.1", f"unix:{tmp_path}/admin"))
    listener = AdminListener(AdminOptions(endpoints, token=Secret(TOKEN)), suite, reactor)
    await listener.start()
    yield Bench(suite, f"http://{listener.addresses[0]}", tmp_path)
    await listener.stop()


@pytest_twisted.ensureDeferred
async def test_explain(bench: Bench) -> None:
    """explain prints the text, or all of it as JSON."""
    text = await bench.run("explain", "ab-1")
    assert text.splitlines()[0] == "ab-1: 192.0.2.7:1 at listener db, service gateway"
    assert text.endswith("\nended: server_closed\n")
    assert json.loads(await bench.run("explain", "ab-2", "--json"))["server"] == "a"


@pytest_twisted.ensureDeferred
async def test_explain_unknown(bench: Bench) -> None:
    """An id that nobody has, whatever letters it is of, is an error of one line."""
    assert (
        await bench.fail("explain", "a/b?") == "Error: no connection 'a/b?' is open, or has ended of late\n"
    )


@pytest_twisted.ensureDeferred
async def test_whatif(bench: Bench) -> None:
    """whatif says who would be picked; its exit status is 1 when nobody would."""
    assert (await bench.run("whatif", "--upstream", "cache", "--client", "::1")).startswith(
        "::1 would go to b\n"
    )
    result = await invoke("whatif", "--upstream=cache", "--admin", bench.url, TCPSUITE_ADMIN_TOKEN=TOKEN)
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout == "a client on a UNIX socket would get no server, no server is up\n"
    bench.suite.upstreams["cache"].waits = WhyHeld.PAUSED
    assert (await bench.run("whatif", "--upstream", "cache", "--client", "::1")).startswith(
        "::1 would wait for a server: paused, an operator's pause; then it would go to b\n"
    )
    bench.suite.upstreams["cache"].waits = WhyHeld.NONE_UP
    assert (await bench.run("whatif", "--upstream", "cache")) == (
        "a client on a UNIX socket would wait for a server: none_up, no server that is up and has not"
        " just failed it, no server is up\n"
    )
    assert await bench.fail("whatif", "--upstream=cash", "--client=::1") == (
        "Error: there is no upstream 'cash'; there is cache\n"
    )
    assert "Error: client: expected an IP address" in await bench.fail(
        "whatif", "--upstream=cache", "--client=x"
    )


@pytest_twisted.ensureDeferred
async def test_server(bench: Bench) -> None:
    """server changes one server, and says what was done."""
    for words, done in (
        (("drain",), "drain"),
        (("ready",), "ready"),
        (("maint",), "maint"),
        (("weight", "3"), "weight 3"),
        (("kill-connections",), "3 connections cut"),
    ):
        assert await bench.run("server", "cache/a", *words) == f"cache/a: {done}\n"
    assert bench.told == [
        ("administer", "a", Administration.DRAIN),
        ("administer", "a", Administration.READY),
        ("administer", "a", Administration.MAINT),
        ("set_weight", "a", 3),
        ("kill_connections", "a"),
    ]


@pytest_twisted.ensureDeferred
async def test_upstream(bench: Bench) -> None:
    """upstream pauses and resumes, adds and removes."""
    for words, done in (
        (("pause",), "pause"),
        (("pause", "2m"), "pause for 120 s"),
        (("pause", "0.5"), "pause for 0.5 s"),
        (("resume",), "resume"),
        (("resume", "50"), "resume, 50 a second"),
        (("add", "c", "tcp:10.0.0.9:1", "--weight", "2"), "add c at tcp:10.0.0.9:1"),
        (("remove", "c", "--force"), "remove c, by force"),
        (("clear-affinity",), "clear affinity: 2 clients forgotten"),
        (("clear-affinity", "::1"), "clear affinity of ::1: 1 client forgotten"),
    ):
        assert await bench.run("upstream", "cache", *words) == f"cache: {done}\n"
    assert bench.told[-4:] == [
        ("add", "c", "tcp:10.0.0.9:1", 2),
        ("remove", "c", True),
        ("clear_affinity", None),
        ("clear_affinity", "::1"),
    ]


@pytest_twisted.ensureDeferred
async def test_show(bench: Bench) -> None:
    """Both show what there is, with or without the word, and what was changed beside its configured value."""
    shown = await bench.run("upstream", "cache", "show")
    assert shown == await bench.run("upstream", "cache")
    assert [line.rstrip() for line in shown.splitlines()] == [
        "upstream cache: round_robin, ready, paused (a client waits 30 s at most), 4 waiting for a server",
        (
            "server  address             state               weight"
            "               active  made  failed  last error"
        ),
        "a       tcp:127.0.0.1:6379  drain, up, ejected  0.25 (configured 5)       1     7       2  it\\x07",
        "b       tcp:127.0.0.1:6380  drain, up, ejected  0.25 (configured 5)       1     7       2  it\\x07",
        "changed: b weight: 1, configured 5",
    ]
    result = await invoke("upstream", "--admin", bench.url, "cache", TCPSUITE_ADMIN_TOKEN=TOKEN)
    assert result.stdout == shown
    result = await invoke("server", "--admin", bench.url, "cache/a", TCPSUITE_ADMIN_TOKEN=TOKEN)
    assert result.stdout == await bench.run("server", "cache/a", "show")
    assert "[COMMAND]" in (await invoke("upstream", "cache", "--help")).stdout
    assert "\na  " not in await bench.run("server", "cache/b")
    assert json.loads(await bench.run("server", "cache/b", "show", "--json"))["changes"][0]["now"] == 1


@pytest_twisted.ensureDeferred
async def test_show_resuming(bench: Bench) -> None:
    """How fast those are let in that were held back is shown."""
    bench.suite.upstreams["cache"].resuming = 2.0
    shown = await bench.run("upstream", "cache")
    assert shown.startswith("upstream cache: round_robin, ready, resuming at 2 a second, 4 waiting")


@pytest_twisted.ensureDeferred
async def test_show_affinity(bench: Bench) -> None:
    """How many clients are remembered is shown."""
    bench.suite.upstreams["cache"].affinity = {"entries": 7, "most": 9, "picks": {}}
    assert ", 4 waiting for a server, 7 clients remembered\n" in await bench.run("upstream", "cache")


@pytest_twisted.ensureDeferred
async def test_clear_affinity_of_nothing(bench: Bench) -> None:
    """An address that a script has left empty does not stand for all clients."""
    assert "expected true, or an IP address, got ''" in await bench.fail(
        "upstream", "cache", "clear-affinity", ""
    )
    assert bench.told == []


@pytest_twisted.ensureDeferred
async def test_not_taken(bench: Bench) -> None:
    """What the process does not take is said in its own words; the exit status is 1."""
    bench.suite.upstreams["cache"].operator.refuses = "b is the last server"
    assert await bench.fail("upstream", "cache", "remove", "b") == "Error: b is the last server\n"
    assert "weight: expected a value from 0 to 256" in await bench.fail("server", "cache/a", "weight", "300")
    assert "there is a, b" in await bench.fail("server", "cache/c", "drain")


@pytest_twisted.ensureDeferred
async def test_below_zero(bench: Bench) -> None:
    """A number below zero is a number, and is refused as one."""
    assert await bench.fail("server", "cache/a", "weight", "-1") == (
        "Error: weight: expected a value from 0 to 256, got -1\n"
    )
    assert "resume: expected true, or a number above 0" in await bench.fail(
        "upstream", "cache", "resume", "-1"
    )
    result = await invoke("upstream", "cache", "pause", "-1s")
    assert (result.exit_code, "TIME: expected" in result.stderr) == (2, True)
    assert bench.told == []


@pytest_twisted.ensureDeferred
async def test_options_anywhere(bench: Bench) -> None:
    """The options stand before the name, behind it, or behind the command."""
    place, env = ("--admin", bench.url, "--json"), {"TCPSUITE_ADMIN_TOKEN": TOKEN}
    for words in (
        (*place, "cache/a", "weight", "3"),
        ("cache/a", *place, "weight", "3"),
        ("cache/a", "weight", "3", *place),
        ("cache/a", "--json", "weight", "3", *place[:2]),
    ):
        result = await invoke("server", *words, **env)
        assert (result.exit_code, result.stderr) == (0, ""), words
        assert json.loads(result.stdout)["done"] == "cache/a: weight 3"
    result = await invoke("server", "cache/a", "--json", "drian", *place, **env)
    assert (result.exit_code, "No such command 'drian'" in result.stderr) == (2, True)


@pytest_twisted.ensureDeferred
async def test_changes_in_words(bench: Bench) -> None:
    """What was changed is told in words, not in those of a programming language."""
    bench.suite.upstreams["cache"].changed = [
        FakeChange("", "paused", False, True),
        FakeChange("c", "added", None, "tcp:10.0.0.9:1"),
        FakeChange("d", "removed", "tcp:10.0.0.8:1", None),
    ]
    shown = await bench.run("upstream", "cache")
    assert shown.splitlines()[-3:] == [
        "changed: paused: yes, configured no",
        "changed: c added: tcp:10.0.0.9:1, configured none",
        "changed: d removed: none, configured tcp:10.0.0.8:1",
    ]


@pytest_twisted.ensureDeferred
async def test_command_line() -> None:
    """A command line that cannot be meant is refused before anybody is asked; the exit status is 2."""
    for words in (
        ("server", "cache", "drain"),
        ("server", "/a", "drain"),
        ("server", "cache/a", "weight", "much"),
        ("server", "cache/a", "drian"),
        ("upstream", "cache", "pause", "long"),
        ("upstream", "cache", "add", "c"),
        ("whatif",),
        ("explain",),
    ):
        assert (await invoke(*words, "--admin", "http://127.0.0.1:1")).exit_code == 2, words


@pytest_twisted.ensureDeferred
async def test_token(bench: Bench) -> None:
    """Without the token one is told where to give it."""
    result = await invoke("explain", "ab-1", "--admin", bench.url)
    assert result.exit_code == 1
    assert "TCPSUITE_ADMIN_TOKEN" in result.stderr


@pytest_twisted.ensureDeferred
async def test_configured(bench: Bench) -> None:
    """Place and token are those of the configuration; the options may stand before the subcommand."""
    port = bench.url.rpartition(":")[2]
    file = bench.folder / "x.toml"
    for endpoint in (f"tcp:{port}", f"tcp:{port}:interface=0.0.0.0", f"unix:{bench.folder}/admin"):
        file.write_text(f'[admin]\nendpoint = ["haproxy:tcp:1", "tcp:0", "{endpoint}"]\ntoken = "{TOKEN}"\n')
        result = await invoke("upstream", "--json", "--config", str(file), "cache", "resume")
        assert (result.exit_code, result.stderr) == (0, ""), result.stderr
        assert json.loads(result.stdout)["done"] == "cache: resume"


@pytest_twisted.ensureDeferred
async def test_unix(bench: Bench) -> None:
    """A UNIX socket is asked as well, and the log names the process and its user."""
    for url in (f"unix:{bench.folder}/admin", f"unix://{bench.folder}/admin"):
        with capturedLogs() as events:
            result = await invoke("server", "cache/a", "drain", "--admin", url, TCPSUITE_ADMIN_TOKEN=TOKEN)
        assert result.exit_code == 0, result.output
        (who,) = [event["who"] for event in events if "who" in event]
        assert who == f"process {os.getpid()} of user {os.geteuid()}"


@pytest_twisted.ensureDeferred
async def test_tls(tmp_path: Path) -> None:
    """Over TLS the listener's certificate must be good: the token is shown to nobody else."""
    from twisted.internet import reactor

    pem = write_certificate(tmp_path)
    endpoint = f"ssl:0:privateKey={pem}:certKey={pem}:interface=127.0.0.1"
    listener = AdminListener(AdminOptions(Endpoints((endpoint,))), busy_suite(), reactor)
    await listener.start()
    try:
        url = f"https://localhost:{listener.addresses[0].rpartition(':')[2]}"
        trusting = await invoke("explain", "ab-1", "--admin", url, SSL_CERT_FILE=str(pem))
        assert (trusting.exit_code, trusting.stderr) == (0, "")
        doubting = await invoke("explain", "ab-1", "--admin", url, TCPSUITE_ADMIN_TOKEN=TOKEN)
        assert (doubting.exit_code, "certificate verify failed" in doubting.stderr) == (1, True)
    finally:
        await listener.stop()


@pytest_twisted.ensureDeferred
async def test_nowhere(tmp_path: Path) -> None:
    """Without a place to ask, one is told so."""
    file = tmp_path / "x.toml"
    for admin in ("", '[admin]\nendpoint = "tcp:0"\n'):
        file.write_text(admin)
        result = await invoke("explain", "ab-1", "--config", str(file))
        assert result.exit_code == 1
        assert "say where it is by --admin URL" in result.stderr
    for url in ("ftp://x", "x", "unix:", "http://", "http://x:port", "http://[::1"):
        result = await invoke("explain", "ab-1", "--admin", url)
        assert (result.exit_code, result.stderr) == (
            1, f"Error: expected http://HOST:PORT, https://HOST:PORT or unix:PATH, got {url!r}\n",
        )  # fmt: skip


@pytest_twisted.ensureDeferred
async def test_nobody_listens(tmp_path: Path) -> None:
    """Where nobody listens, the place is named, and what it may be."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        for url in (f"http://127.0.0.1:{held.getsockname()[1]}", f"unix:{tmp_path}/none"):
            result = await invoke("explain", "ab-1", "--admin", url)
            assert result.exit_code == 1
            assert result.stderr.startswith(f"Error: {url}: ")
            assert result.stderr.endswith("; does it run there, with an [admin] endpoint?\n")


class Saying(Protocol):
    """Answers something else than an admin listener would."""

    said = b""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(self.said)
        if self.said:
            self.transport.loseConnection()


@pytest_twisted.ensureDeferred
async def test_somebody_else_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no admin listener is said to be none; one that says nothing is waited for a while."""
    from twisted.internet import reactor

    monkeypatch.setattr(client, "PATIENCE", 0.1)
    factory: Any = Factory.forProtocol(Saying)
    port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
    try:
        for said, told in (
            (b"220 smtp\r\n", "is no admin listener"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "is no admin listener"),
            (b"HTTP/1.1 200 OK\r\nServer: tcpsuite\r\nContent-Length: 2\r\n\r\n[]", "is no admin listener"),
            (b"HTTP/1.1 200 OK\r\nServer: tcpsuite\r\nContent-Length: 9\r\n\r\n{", "is no admin listener"),
            (b"HTTP/1.1 408 No\r\nServer: tcpsuite\r\nContent-Length: 1\r\n\r\n.", "is no admin listener"),
            (b"", "timed out"),
        ):
            Saying.said = said
            result = await invoke("explain", "ab-1", "--admin", f"http://127.0.0.1:{port.getHost().port}")
            assert result.exit_code == 1
            assert told in result.stderr
    finally:
        await port.stopListening()

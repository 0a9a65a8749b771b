"""The parts together: what is started, what a failed start leaves, how the end goes."""

from __future__ import annotations

import json
import socket
import stat
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet._resolver import GAIResolver
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.web.client import Agent, readBody
from zope.interface import implementer

from tcpsuite.admin.welcome import welcome
from tcpsuite.app import build
from tcpsuite.config import load
from tcpsuite.core.connections import Connection, Reason
from tcpsuite.errors import StartError
from tcpsuite.interfaces import IShrinkable
from tcpsuite.net.resolving import NumericResolver
from tcpsuite.stores.sqlite import SQLiteStore
from tests.support.client import connect
from tests.support.gateways import listening

SUITE = """
state_directory = "state"
drain_timeout = "5s"

[listener.front]
endpoint = "tcp:0:interface=127.0.0.1"
service = "gateway"
upstream = "back"

[upstream.back]
servers = [{{ name = "only", address = "tcp:127.0.0.1:{back}" }}]

[listener.back]
endpoint = "tcp:{back}:interface=127.0.0.1"
service = "echo"

[listener.sessions]
endpoint = "tcp:0:interface=127.0.0.1"
service = "session"
anonymous = true

[admin]
endpoint = "tcp:0:interface=127.0.0.1"

[manhole]
enabled = true
"""

SLOW_SERVER = """
drain_timeout = "20s"

[listener.front]
endpoint = "tcp:0:interface=127.0.0.1"
service = "gateway"
upstream = "back"

[upstream.back]
servers = [{{ name = "only", address = "tcp:127.0.0.1:{back}" }}]
"""


def free_port():
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@pytest.fixture
def make_suite(tmp_path):
    """Builds suites from the text of a file; stops them at the end."""
    suites = []

    def make(text):
        file = tmp_path / "suite.toml"
        file.write_text(text)
        suites.append(build(load(str(file)).config, reactor))
        return suites[-1]

    yield make
    for suite in suites:
        pytest_twisted.blockon(suite.stopService())


@pytest.fixture
def suite(make_suite):
    """A gateway before an echo, sessions, the admin listener and the manhole, started."""
    suite = make_suite(SUITE.format(back=free_port()))
    suite.privilegedStartService()
    suite.startService()
    return suite


async def get(suite, path):
    response = await Agent(reactor).request(b"GET", f"http://{suite.admin.addresses[0]}{path}".encode())
    return response.code, await readBody(response)


@pytest_twisted.ensureDeferred
async def test_everything_is_there(suite, tmp_path):
    """The gateway relays, sessions are kept in the state directory, and the admin listener tells of both."""
    client = await connect(suite.listeners["front"].addresses[0])
    assert await client.ask(b"through", 7) == b"through"
    sessions = await connect(suite.listeners["sessions"].addresses[0])
    assert (await sessions.ask(b"OPEN\n", 47)).startswith(b"OK ")
    code, body = await get(suite, "/api/v1/status")
    status = json.loads(body)
    assert code == 200
    assert status["upstreams"]["back"]["servers"][0]["active"] == 1
    assert status["sessions"]["count"] == 1
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert (tmp_path / "state" / "sessions.db").exists()
    await client.leave()
    await sessions.leave()


@pytest_twisted.ensureDeferred
async def test_short_of_memory_from_the_start(make_suite):
    """No listener accepts, who looks in is told why, and what has ended is forgotten; pools are asked too."""
    suite = make_suite(SUITE.format(back=free_port()) + '[overload]\nmemory_limit = "1MiB"\nlag = 0\n')
    old = Connection("ab-1", "192.0.2.1:1", "192.0.2.1", "front", "gateway", 0.0, 0.0)
    suite.ledger.open(old)
    suite.ledger.close(old, 1.0)
    suite.startService()
    assert {listener.state for listener in suite.listeners.values()} == {"overloaded"}
    code, body = await get(suite, "/readyz")
    assert code == 503
    assert b"of 1 MiB is in use" in body
    assert suite.ledger.find("ab-1") is None
    asked = suite.overload.memory.shrinkables
    assert asked[:2] == [suite.upstreams["back"].members, suite.ledger]


@pytest_twisted.ensureDeferred
async def test_a_service_is_asked_to_give_memory_back(make_suite):
    """The factory of a service that provides it; others are not."""

    @implementer(IShrinkable)
    class Spare(Factory):
        def shrink(self):
            """It has nothing."""

    spare = Spare()
    suite = make_suite(SUITE.format(back=free_port()))
    assert not any(isinstance(each, Spare) for each in suite.overload.memory.shrinkables)
    suite.listeners["back"].admission.service = spare
    assert spare in suite._shrinkables()


def test_names_are_looked_up_our_way_on_any_reactor(make_suite):
    """A start takes Twisted's own resolver out of the reactor, whose threads a stuck name would fill."""
    running: Any = reactor
    before = running.installNameResolver(GAIResolver(running))
    try:
        make_suite(SUITE.format(back=free_port())).startService()
        assert isinstance(running.nameResolver, NumericResolver)
    finally:
        running.installNameResolver(before)


@pytest_twisted.ensureDeferred
async def test_the_welcome_names_each_listener(suite):
    """The table has a line for each listener, the admin listener and the manhole, with a line to try."""
    lines = welcome(suite).splitlines()
    assert lines[2].split() == ["listener", "address", "serves", "try"]
    assert [line.split()[0] for line in lines[3:]] == ["front", "back", "sessions", "admin", "manhole"]
    address = suite.listeners["back"].addresses[0]
    assert f"nc -N {address.replace(':', ' ')}" in welcome(suite)


@pytest_twisted.ensureDeferred
async def test_a_drain_is_seen_and_ends_with_the_last_connection(suite):
    """While draining, readiness is gone and the open connection goes on; the end is the end of that."""
    client = await connect(suite.listeners["front"].addresses[0])
    await client.ask(b"x", 1)
    assert (await get(suite, "/readyz"))[0] == 200
    done: list[None] = []
    stopped = suite.stopService().addCallback(done.append)
    assert (await get(suite, "/readyz"))[0] == 503
    assert await client.ask(b"still here", 10) == b"still here"
    assert not done
    client.transport.loseConnection()
    await stopped
    assert len(suite.ledger) == 0
    totals = suite.ledger.totals("front")
    assert totals.ended == {Reason.CLIENT_CLOSED: 1}


@pytest_twisted.ensureDeferred
async def test_not_ready_without_the_store(suite, tmp_path):
    """From the first answer that the store of sessions owes until it works, which is found out by asking."""
    sessions = await connect(suite.listeners["sessions"].addresses[0])
    await sessions.ask(b"OPEN\n", 47)
    file, elsewhere = tmp_path / "state" / "sessions.db", tmp_path / "elsewhere.db"
    file.rename(elsewhere)
    assert (await get(suite, "/readyz"))[0] == 200
    assert (await sessions.ask(b"SET size 9\n", 9)).startswith(b"ERR store")
    code, body = await get(suite, "/readyz")
    assert code == 503
    assert b"sessions: the session store failed: its file is gone" in body
    elsewhere.rename(file)
    assert (await get(suite, "/readyz"))[0] == 200
    await sessions.leave()


@pytest_twisted.ensureDeferred
async def test_cut_ends_a_drain_at_once(suite):
    """Whoever is in a hurry does not wait for the drain time-out."""
    client = await connect(suite.listeners["front"].addresses[0])
    await client.ask(b"x", 1)
    stopped = suite.stopService()
    suite.cut()
    await stopped
    assert await client.lost is not ConnectionDone
    assert suite.ledger.totals("front").ended == {Reason.CUT: 1}


@pytest.mark.parametrize("hurry", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_drain_leaves_servers_their_time(make_suite, hurry):
    """A connection to a server that outlives its client is waited for too, unless somebody is in a hurry."""
    with listening() as server:
        suite = make_suite(SLOW_SERVER.format(back=server.getsockname()[1]))
        suite.privilegedStartService()
        record = Connection("1", "unix", "", "front", "gateway", 0.0, 0.0)
        upstream = suite.upstreams["back"]
        lease = await upstream.acquire("", record)
        done: list[None] = []
        stopped = suite.stopService().addCallback(done.append)
        await deferLater(reactor, 0.1)
        assert not done
        if hurry:
            suite.cut()
        else:
            upstream.pools[lease.server.name].release(lease)
        await stopped
        assert (await lease.ended()).ok


@pytest_twisted.ensureDeferred
async def test_a_port_in_use_leaves_nothing_open(make_suite):
    """The start fails with the listener and the address, and what was opened before is closed."""
    back = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        suite = make_suite(
            SUITE.format(back=back)
            + f'[listener.taken]\nendpoint = "tcp:{port}:interface=127.0.0.1"\nservice = "echo"\n'
        )
        with pytest.raises(StartError) as raised:
            suite.privilegedStartService()
    assert f"listener taken: tcp:{port}:interface=127.0.0.1: address already in use" in str(raised.value)
    await suite.stopService()
    assert all(listener.addresses == [] for listener in suite.listeners.values())
    with socket.create_server(("127.0.0.1", back)):
        pass


@pytest_twisted.ensureDeferred
async def test_the_store_is_opened_before_the_ports(make_suite, monkeypatch):
    """Opening the store may block for seconds, and nobody can connect meanwhile."""
    listening: list[str] = []

    def look(_store):
        listening.extend(address for door in doors for address in door.addresses)
        raise StartError("sessions.db: database is locked")

    monkeypatch.setattr(SQLiteStore, "open", look)
    suite = make_suite(SUITE.format(back=free_port()))
    doors: list[Any] = [*suite.listeners.values(), suite.admin]
    with pytest.raises(StartError, match="database is locked"):
        suite.privilegedStartService()
    assert listening == []


@pytest_twisted.ensureDeferred
async def test_a_database_that_is_none_leaves_nothing_open(make_suite, tmp_path):
    """A sessions file with other bytes in it is named, and nothing listens."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "sessions.db").write_bytes(b"These are not the pages of a database.\n" * 100)
    suite = make_suite(SUITE.format(back=free_port()))
    with pytest.raises(StartError) as raised:
        suite.privilegedStartService()
    assert "sessions.db" in str(raised.value)
    await suite.stopService()
    assert suite.admin.addresses == []


class Late:
    """An endpoint that fails in its own time."""

    def __init__(self):
        self.answer: Deferred[Any] = Deferred()

    def listen(self, factory):
        return self.answer


@pytest_twisted.ensureDeferred
async def test_a_start_that_fails_later_stops_the_reactor(make_suite, monkeypatch):
    """What an endpoint says only when the reactor runs ends the process, and nothing was ever ready."""
    late = Late()
    monkeypatch.setattr("tcpsuite.net.listener.listen_endpoint", lambda *_: late)
    stopped = []
    suite = make_suite('[listener.late]\nendpoint = "tcp:1"\nservice = "echo"\n')
    monkeypatch.setattr(suite.reactor, "stop", lambda: stopped.append(True))
    suite.privilegedStartService()
    assert not suite.failure
    late.answer.errback(OSError("the tunnel is closed"))
    await deferLater(reactor, 0)
    assert isinstance(suite.failure, StartError)
    assert "listener late: tcp:1: the tunnel is closed" in str(suite.failure)
    assert stopped == [True]
    assert suite.started_at is None


STICKY = """
state_directory = "state"

[listener.front]
endpoint = "tcp:0:interface=127.0.0.1"
service = "gateway"
upstream = "back"

[upstream.back]
affinity = "ip"
servers = [{{ name = "only", address = "tcp:127.0.0.1:{back}" }}]
"""


@pytest_twisted.ensureDeferred
async def test_what_affinity_remembers_outlives_the_process(make_suite):
    """Where clients are at home is known to the next process; a start that fails between loses nothing."""
    with listening() as server:
        text = STICKY.format(back=server.getsockname()[1])
        suite = make_suite(text)
        suite.startService()
        table = suite.upstreams["back"].affinity.table
        table.lead("192.0.2.1", "only", reactor.seconds())
        await suite.stopService()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            place = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            with pytest.raises(StartError):
                make_suite(text.replace("tcp:0:interface=127.0.0.1", place)).startService()
        again = make_suite(text)
        again.startService()
        assert again.upstreams["back"].affinity.look("192.0.2.1", reactor.seconds())["server"] == "only"
        await again.stopService()

"""Sessions in a real Redis."""

from __future__ import annotations

import tempfile
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import TYPE_CHECKING, TypeVar
from unittest import SkipTest

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.errors import Closed, StoreFailed
from tcpsuite.options import Duration
from tcpsuite.stores.redis.sessions import RedisSessionStore
from tcpsuite.testing.stores import SessionStoreContract, digest_named, session
from tests.integration.support.programs import PATIENCE, free_port, need
from tests.integration.support.redis import Redis
from tests.support.redis_stores import redis_client, redis_store

if TYPE_CHECKING:
    from contextlib import ExitStack

T = TypeVar("T")


class RedisStoreContractTests(SessionStoreContract, SynchronousTestCase):
    """The contract, over a connection, with a prefix for each test."""

    kind = "redis-server"
    server: Redis

    @classmethod
    def setUpClass(cls) -> None:
        """Start a Redis for all of them."""
        need(cls.kind)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        usual, Redis.kind = Redis.kind, cls.kind
        cls.addClassCleanup(setattr, Redis, "kind", usual)
        cls.server = cls.enterClassContext(Redis(free_port(), Path(folder.name))).started()

    def setUp(self) -> None:
        """Trial, which does not set up classes, could not wait for a network here either."""
        if not hasattr(self, "server"):
            raise SkipTest("it waits for a network, which takes pytest")
        super().setUp()

    def make_store(self) -> RedisSessionStore:
        """A store of this test alone."""
        store = redis_store(self.server.port, prefix=f"{self.id()}:")
        self.addCleanup(lambda: self.wait_for(store.close()))
        return store

    def wait_for(self, asked: Deferred[T]) -> T:
        """What it fires with, when that has come."""
        answer: T = pytest_twisted.blockon(asked)
        return answer


class ValkeyStoreContractTests(RedisStoreContractTests):
    """The same of the other server that speaks so."""

    kind = "valkey-server"


@pytest.mark.usefixtures("redis_kind")
@pytest_twisted.ensureDeferred
async def test_touches_are_not_lost(tmp_path: Path, running: ExitStack) -> None:
    """What was noted while there was no answer is stored when there is one again, and told before that."""
    redis = running.enter_context(Redis(free_port(), tmp_path)).started()
    store = redis_store(redis.port, timeout=Duration(0.3))
    await store.create(session("a"), 10)
    redis.signal(SIGSTOP)
    store.touch(digest_named("a"), 1500.0, 2)
    with pytest.raises(StoreFailed):
        await store.expire(1.0)
    store.touch(digest_named("a"), 1600.0, 1)
    with pytest.raises(StoreFailed):
        await store.head(digest_named("a"))
    redis.signal(SIGCONT)
    end = reactor.seconds() + PATIENCE
    while True:
        try:
            head = await store.head(digest_named("a"))
            break
        except StoreFailed:
            assert reactor.seconds() < end
            await deferLater(reactor, 0.05)
    assert head is not None
    assert head.used == 1600.0
    assert head.requests >= 3
    await store.close()
    with pytest.raises(Closed):
        await store.totals()


@pytest.mark.usefixtures("redis_kind")
@pytest_twisted.ensureDeferred
async def test_a_change_that_a_master_took_with_it(tmp_path: Path, running: ExitStack) -> None:
    """Where a replica takes over that has not heard of the last change, the next one is not taken for it."""
    redis = running.enter_context(Redis(free_port(), tmp_path)).started()
    store = redis_store(redis.port)
    a = digest_named("a")
    await store.create(session("a", colour="blue"), 10)
    lost = await store.change(a, {"colour": "red"}, 0, 1000.0, 1)
    client = redis_client(redis.port)
    client.start()
    back = "return redis.call('HSET', KEYS[1], 'version', '0')"
    await client.run(back, [f"tcpsuite:session:{a.hex()}"], [])
    stored = await store.change(a, {"colour": "green"}, 0, 1000.0, 1)
    head = await store.head(a)
    assert head is not None
    assert head.version == stored
    assert stored not in (None, lost)
    await client.stop()
    await store.close()


@pytest.mark.usefixtures("redis_kind")
@pytest_twisted.ensureDeferred
async def test_full(tmp_path: Path, running: ExitStack) -> None:
    """A Redis that has no room left counts as before, ends sessions, and is told of until it has room."""
    redis = running.enter_context(Redis(free_port(), tmp_path)).started()
    store, client = redis_store(redis.port), redis_client(redis.port, connections=1)
    client.start()
    for name in "ab":
        await store.create(session(name, used=float(ord(name))), 10)
    await store.totals()
    assert store.fault == ""
    await client.run("return 1", [], [])
    connection = client.lanes[0].connection
    assert connection is not None
    await connection.execute_command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreFailed, match="OOM"):
        await store.change(digest_named("a"), {"key": "value"}, 0, 1000.0, 1)
    assert (await store.totals()).sessions == 2
    assert "OOM" in store.fault
    assert await store.expire(float(ord("b"))) == 1
    assert "OOM" in store.fault
    assert await store.delete(digest_named("b"))
    await connection.execute_command("CONFIG", "SET", "maxmemory", "0")
    await store.expire(1.0)
    assert store.fault == ""
    await client.stop()
    await store.close()


@pytest.mark.usefixtures("redis_kind")
@pytest_twisted.ensureDeferred
async def test_strange_values(tmp_path: Path, running: ExitStack) -> None:
    """Whatever others write over a session, who asks for it fails; the uses of the other sessions are stored
    all the same, sessions are counted, and it is swept out with the rest.
    """
    redis = running.enter_context(Redis(free_port(), tmp_path)).started()
    store, client = redis_store(redis.port), redis_client(redis.port)
    client.start()
    write = "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])"
    strange = ("created", "used", "requests", "version")
    for name in strange:
        await store.create(session(name), 10)
        key = f"tcpsuite:session:{digest_named(name).hex()}"
        await client.run(write, [key], [name, "abc"])
    for name in ("another type", "good"):
        await store.create(session(name), 10)
    key = f"tcpsuite:session:{digest_named('another type').hex()}"
    await client.run("redis.call('SET', KEYS[1], 'junk')", [key], [])
    for name in (*strange, "another type"):
        with pytest.raises(StoreFailed):
            await store.get(digest_named(name))
    for name in (*strange, "another type", "good"):
        store.touch(digest_named(name), 2000.0, 1)
    assert (await store.totals()).sessions == 6
    good = await store.head(digest_named("good"))
    assert good is not None
    assert (good.used, good.requests) == (2000.0, 1)
    assert await store.expire(3000.0) == 6
    totals = await store.totals()
    assert (totals.sessions, store.fault) == (0, "")
    assert await client.run("return redis.call('KEYS', '*session:*')", [], []) == []
    await client.run(write, ["tcpsuite:totals"], ["requests", "abc"])
    with pytest.raises(StoreFailed, match="strange value"):
        await store.totals()
    await client.stop()
    await store.close()


@pytest.mark.usefixtures("redis_kind")
@pytest_twisted.ensureDeferred
async def test_closes_without_an_answer(tmp_path: Path, running: ExitStack) -> None:
    """A store that cannot tell any more what it noted closes all the same."""
    redis = running.enter_context(Redis(free_port(), tmp_path)).started()
    store = redis_store(redis.port, timeout=Duration(0.3))
    await store.create(session("a"), 10)
    store.touch(digest_named("a"), 1500.0, 2)
    redis.signal(SIGSTOP)
    await store.close()
    redis.signal(SIGCONT)

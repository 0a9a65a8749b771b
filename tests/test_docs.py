"""The documentation's own code, run as it stands."""

from __future__ import annotations

import doctest
import random
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
import pytest_twisted
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.protocols.wire import Echo

from tcpsuite.config import load
from tcpsuite.core.servers import Server
from tcpsuite.errors import PoolExhausted
from tcpsuite.net.assembly import build_upstream
from tcpsuite.net.options import ServerOptions, UpstreamOptions
from tcpsuite.options import ClientEndpoint

DOCS = Path(__file__).parents[1] / "docs"
NAMED_BLOCK = re.compile(r"^```(?:python|toml)\n# (\S+\.(?:py|toml))\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The files that docs/extending.md shows, in a folder that modules are imported from."""
    for name, text in NAMED_BLOCK.findall((DOCS / "extending.md").read_text()):
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("nearest", "test_nearest", "memcached", "quota", "test_quota"):
        sys.modules.pop(name, None)


def test_a_balancer_named_in_the_file_picks(example):
    """The example's configuration is good, and its balancer is the one that the upstream asks."""
    config = load(str(example / "gateway.toml")).config
    options: UpstreamOptions = config.upstreams["back"]
    assert options.strategy == "nearest:LastOctet"

    from twisted.internet.task import Clock

    upstream = build_upstream("back", options, Clock(), random.Random(1))
    assert type(upstream.balancer).__name__ == "LastOctet"
    servers = [Server("a", "tcp:127.0.0.1:1"), Server("b", "tcp:127.0.0.1:2")]
    picked = [upstream.balancer.pick(servers, f"192.0.2.{octet}", 0.0) for octet in (1, 2, 3, 4)]
    assert picked == [servers[1], servers[0]] * 2


@pytest.mark.parametrize(
    ("module", "case"), [("test_nearest", "LastOctetTests"), ("test_quota", "QuotaTests")]
)
def test_the_contract_suite_of_the_example_passes(example, module, case):
    """The example's own test passes, and would not be empty."""
    from twisted.python.reflect import prefixedMethodNames
    from twisted.trial.reporter import TestResult

    case = getattr(import_module(module), case)
    names = prefixedMethodNames(case, "test_")
    result = TestResult()
    for name in names:
        case(f"test_{name}").run(result)
    assert len(names) > 5
    assert result.wasSuccessful(), result.errors + result.failures


def test_a_check_named_in_the_file_asks(example):
    """The example's check is one that the file may name, and judges as it says."""
    text = (example / "gateway.toml").read_text()
    (example / "checked.toml").write_text(f'{text}\n[upstream.back.health]\ntype = "memcached:check"\n')
    config = load(str(example / "checked.toml")).config

    from twisted.internet.task import Clock

    upstream = build_upstream("back", config.upstreams["back"], Clock(), random.Random(1))
    assert upstream.members.checker is not None

    from memcached import Version  # type: ignore[import-not-found]

    from tcpsuite.core.scripts import Unwell

    assert Version().heard(b"VERSION 1.6.18\r\n")
    assert not Version().heard(b"VERSI")
    with pytest.raises(Unwell, match="answered 'ERROR'"):
        Version().heard(b"ERROR\r\n")


@pytest_twisted.ensureDeferred
async def test_a_pool_named_in_the_file_lends(example):
    """The example's configuration leads to the example's pool: a third lease of one name is refused until one
    of the two others is over.
    """
    config = load(str(example / "cache.toml"))
    assert not [fault for fault in config.doubts if "pool" in fault.path]
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(Echo))
    server = ServerOptions("a", ClientEndpoint(f"tcp:127.0.0.1:{port.getHost().port}"))
    upstream = build_upstream(
        "cache", evolve(config.config.upstreams["cache"], servers=(server,)), reactor, random.Random(1)
    )
    pool = upstream.pools["a"]
    assert repr(pool) == "<FencedPool Quota of server a of upstream cache>"
    first, _second = [await upstream.acquire(holder="the report") for _ in range(2)]
    with pytest.raises(PoolExhausted, match="the report has 2 connections already"):
        await upstream.acquire(holder="the report")
    assert await upstream.execute(lambda lease: lease.server.name) == "a"
    pool.release(first)
    pool.release(await upstream.acquire(holder="the report"))
    await upstream.stop()
    await port.stopListening()


def test_buffers_and_pools_answer_as_their_page_says():
    """Every example of docs/buffers.md gives what stands there."""
    result = doctest.testfile(str(DOCS / "buffers.md"), module_relative=False)
    assert result.attempted > 15
    assert result.failed == 0

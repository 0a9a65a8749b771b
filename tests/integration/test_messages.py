"""The message service as it ships, and its clients."""

from __future__ import annotations

import json
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from tcpsuite.errors import RequestLost
from tcpsuite.net.client import connect
from tests.integration.support.programs import run
from tests.integration.support.suites import BIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.support.suites import Suite

MESSAGES = """
[listener.messages]
endpoint = ["tcp:<plain>:interface=127.0.0.1", "mux:tcp:<mux>:interface=127.0.0.1"]
service = "message"
methods = { "base" = "os.path:basename" }
"""


def call(*words: str, check: bool = True) -> Any:
    """``tcpsuite call``, to its end."""
    return run(str(BIN / "tcpsuite"), "call", *words, check=check)


def test_call(serve: Callable[..., Suite], tmp_path: Path) -> None:
    """A request from the command line, over TCP and on a stream; an error has its code, and status 1."""
    suite = serve(MESSAGES)
    plain, mux = f"127.0.0.1:{suite.ports['plain']}", f"mux:tcp:127.0.0.1:{suite.ports['mux']}"
    large = tmp_path / "large"
    large.write_text("x" * 300_000)
    for place in (plain, mux):
        assert call(place, "echo", "hello").stdout == "hello"
        assert call(place, "base", "a/b").stdout == "b"
        assert call(place, "echo", f"@{large}").stdout == "x" * 300_000
    assert json.loads(call(plain, "stats").stdout)["methods"]["echo"] == {"calls": 4, "failed": 0}
    failed = call(plain, "nope", check=False)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "unknown: there is no method 'nope'" in failed.stderr
    suite.finish()
    failed = call(plain, "echo", check=False)
    assert (failed.returncode, "refused" in failed.stderr) == (1, True)


@pytest.mark.parametrize("kind", ["plain", "mux"])
@pytest_twisted.ensureDeferred
async def test_restart(serve: Callable[..., Suite], kind: str) -> None:
    """A client outlives its service: what it asks meanwhile is answered by the next one."""
    suite = serve(MESSAGES)
    ports = dict(suite.ports)
    prefix = "mux:" if kind == "mux" else ""
    client = await connect(f"{prefix}tcp:127.0.0.1:{ports[kind]}")
    assert await client.request("echo", b"one") == b"one"
    await deferToThread(suite.finish)
    answers = [client.request("echo", b"%d" % number, timeout=60) for number in range(100)]
    again = await deferToThread(lambda: serve(MESSAGES, ports=ports))
    assert await gatherResults(answers) == [b"%d" % number for number in range(100)]
    assert client.stats()["connects"] == 2
    await client.close()
    await deferToThread(again.finish)


@pytest_twisted.ensureDeferred
async def test_killed(serve: Callable[..., Suite]) -> None:
    """When the service is killed, what it had in hand fails, and may have run."""
    suite = serve(MESSAGES)
    heard: Deferred[None] = Deferred()
    client = await connect(
        f"tcp:127.0.0.1:{suite.ports['plain']}",
        received=lambda method, body: None if heard.called else heard.callback(None),
    )
    answer = client.request("generate", b"1000 100000000")
    await heard
    suite.signal(SIGKILL)
    with pytest.raises(RequestLost) as caught:
        await answer
    assert caught.value.may_have_run
    await client.close()

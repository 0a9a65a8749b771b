"""An upstream that is changed while clients come and go all the time."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

from tests.integration.support.programs import Program, free_port, need, wait_until
from tests.integration.support.redis import Redis

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from tests.integration.support.suites import Suite

PLACES = {"a": "127.0.0.1", "b": "127.0.0.2", "c": "127.0.0.3", "d": "127.0.0.4"}
"""One Redis, which is reached at four addresses, counts as four servers; the last one is added later."""
GATEWAY = """
[listener.cache]
endpoint = "tcp:<cache>:interface=127.0.0.1"
service = "gateway"
upstream = "cache"

[upstream.cache]
servers = [
  { name = "a", address = "tcp:127.0.0.1:<redis>" },
  { name = "b", address = "tcp:127.0.0.2:<redis>" },
  { name = "c", address = "tcp:127.0.0.3:<redis>" },
]
networks = ["127.0.0.0/8"]
"""
CLIENTS = 8


def cache(suite: Suite) -> Any:
    """What is known of the upstream."""
    return suite.status()["upstreams"]["cache"]


def change(suite: Suite, value: dict[str, Any], server: str = "") -> int:
    """Change the upstream, or a server of it: the status of the answer."""
    page = f"server/cache/{server}" if server else "upstream/cache"
    with closing(http.client.HTTPConnection("127.0.0.1", suite.ports["admin"], timeout=10)) as connection:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", f"/api/v1/{page}", json.dumps(value), headers)
        return connection.getresponse().status


def served(suite: Suite) -> dict[str, int]:
    """How many connections each server has had so far."""
    return {each["name"]: each["connections"] for each in cache(suite)["servers"]}


def wait_for_more(suite: Suite, server: str, number: int = 20) -> None:
    """Until that server has had so many connections more."""
    before = served(suite)[server]
    wait_until(lambda: served(suite)[server] >= before + number, f"{server} had {number} more connections")


def test_nobody_notices_the_changes(serve: Callable[..., Suite], tmp_path: Path, running: ExitStack) -> None:
    """Clients that come and go while servers are added, weighted, drained, taken out and removed, and the
    upstream is paused, are all served; what is counted is right when they have gone.
    """
    need("redis-server", "redis-benchmark")
    redis = running.enter_context(Redis(free_port(), tmp_path, *list(PLACES.values())[1:])).started()
    suite = serve(GATEWAY, ports={"redis": redis.port})
    connect_each_time = ("-k", "0", "-l", "-c", str(CLIENTS), "-t", "ping_mbulk", "-q")
    command = ("redis-benchmark", "-p", str(suite.ports["cache"]), *connect_each_time)
    benchmark = running.enter_context(Program(*command, log=tmp_path / "benchmark.log"))

    wait_for_more(suite, "a")
    assert (
        change(suite, {"add": {"name": "d", "address": f"tcp:{PLACES['d']}:{redis.port}", "weight": 8}})
        == 200
    )
    wait_for_more(suite, "d")
    assert change(suite, {"state": "drain"}, "a") == 200
    wait_until(lambda: cache(suite)["servers"][0]["active"] == 0, "a ran empty")
    assert change(suite, {"remove": {"name": "a"}}) == 200
    assert change(suite, {"state": "maint"}, "b") == 200
    assert change(suite, {"weight": 16}, "c") == 200
    wait_for_more(suite, "c")
    for value in {"pause": True}, {"resume": 200}, {"pause": True}, {"resume": True}:
        assert change(suite, value) == 200
        if "pause" in value:
            wait_until(lambda: cache(suite)["queue"]["waiting"] == CLIENTS, "all clients waited")
    assert change(suite, {"state": "ready"}, "b") == 200
    wait_for_more(suite, "b")
    assert change(suite, {"state": "drain"}, "d") == 200
    wait_until(lambda: change(suite, {"remove": {"name": "d"}}) == 200, "d could be removed")
    wait_for_more(suite, "b")
    assert benchmark.running, "it ends at the first error"
    benchmark.end()

    wait_until(lambda: not any(each["active"] for each in cache(suite)["servers"]), "all had gone")
    now = cache(suite)
    assert {each["name"]: each["failures"] for each in now["servers"]} == {"b": 0, "c": 0}
    assert (now["queue"]["waiting"], now["queue"]["timed_out"], now["queue"]["refused"]) == (0, 0, 0)
    status = suite.status()
    assert status["connections"]["open"] == 0
    assert status["listeners"][0]["totals"]["ended"].keys() <= {"client_closed", "client_reset"}
    suite.finish()

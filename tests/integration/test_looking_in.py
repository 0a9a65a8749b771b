"""What shows a running process: health, metrics, status, the access log, the manhole."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.support.programs import free_port, need, run, wait_until
from tests.integration.support.suites import BIN, Suite

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

GATEWAY = """
[listener.front]
endpoint = "tcp:<front>:interface=127.0.0.1"
service = "gateway"
upstream = "echo"

[upstream.echo]
servers = [{ name = "only", address = "tcp:127.0.0.1:<echo>" }]
health = { interval = "100ms", rise = 1, fall = 1 }

[listener.echo]
endpoint = "tcp:<echo>:interface=127.0.0.1"
service = "echo"

[manhole]
enabled = true

[access_log]
path = "-"
format = "json"
"""


def echoed(port: int, data: bytes) -> None:
    """Send, read back, and close."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(data)
        assert connection.recv(len(data), socket.MSG_WAITALL) == data


def test_metrics(serve: Callable[..., Suite]) -> None:
    """promtool and prometheus-client accept the page of a process with traffic on it."""
    need("promtool")
    suite = serve(GATEWAY)
    echoed(suite.ports["front"], b"x" * 1000)
    page = suite.get("/metrics")[1]
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=page, text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    families = {family.name: family for family in text_string_to_metric_families(page)}
    received = {
        sample.labels["listener"]: sample.value
        for sample in families["tcpsuite_received_bytes"].samples
        if sample.name.endswith("_total")
    }
    assert received == {"front": 1000, "echo": 1000}
    suite.finish()


def test_access_log(serve: Callable[..., Suite]) -> None:
    """Each connection leaves one line, with its bytes and why it ended."""
    suite = serve(GATEWAY)
    echoed(suite.ports["front"], b"x" * 1000)

    def front() -> list[dict[str, object]]:
        lines = [json.loads(line) for line in suite.output.splitlines() if line.startswith("{")]
        return [line for line in lines if line["listener"] == "front"]

    (line,) = wait_until(front, "the line of the connection")
    assert (line["bytes_in"], line["bytes_out"], line["server"]) == (1000, 1000, "only")
    assert line["reason"] == "client_closed"
    suite.finish()


def test_not_ready_without_a_server(tmp_path: Path, running: ExitStack) -> None:
    """An upstream with no server up makes the process not ready; when one is up, it is."""
    text = GATEWAY.replace("tcp:127.0.0.1:<echo>", "tcp:127.0.0.1:<other>")
    suite = running.enter_context(Suite(text, tmp_path, ports={"other": free_port()}))
    suite.ready(lambda: suite.get("/healthz")[0] == 200, "the process answered")
    wait_until(lambda: suite.get("/readyz")[0] == 503, "the process knew of no server")
    assert "no server of echo takes connections: of 1, 1 down" in suite.get("/readyz")[1]
    with socket.create_server(("127.0.0.1", suite.ports["other"])):
        wait_until(lambda: suite.get("/readyz")[0] == 200, "the server was seen")
    suite.finish()


def test_manhole(serve: Callable[..., Suite]) -> None:
    """What is piped into `tcpsuite manhole` is carried out in the process; a Deferred is awaited."""
    suite = serve(GATEWAY)
    typed = """
from twisted.internet.task import deferLater
deferLater(reactor, 0.01, lambda: 6 * 7)
print(len(listeners), "listeners")
"""
    env = {**os.environ, "STATE_DIRECTORY": str(suite.config.parent / "state")}
    told = run(BIN / "tcpsuite", "manhole", "--config", suite.config, input=typed, env=env).stdout
    assert "42" in told
    assert "2 listeners" in told
    suite.finish()

"""Servers on another machine, and the link to it: when that breaks, nobody sends a reset or a FIN."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.integration.support.link import FAR, Link
from tests.integration.support.programs import Program, need, wait_until
from tests.integration.support.suites import TWISTD, Suite
from tests.support.sockets import write_certificate

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

PLAIN, TLS = 6379, 6380
UPSTREAM = """
[listener.{name}]
endpoint = "unix:{folder}/{name}"
service = "gateway"
upstream = "{name}"

[upstream.{name}]
servers = [{{ name = "far", address = '{address}' }}]
cut_when_down = true
hold_timeout = "30s"
health = {{ type = "{check}", interval = "100ms", timeout = "300ms" }}
"""
PLAINLY = f"tcp:{FAR}:{PLAIN}"
SECURELY = rf"tls:localhost:{TLS}:trustRoots={{folder}}:endpoint=tcp\:{FAR}\:{TLS}"
UPSTREAMS = {
    "knocked": ("tcp", PLAINLY),
    "asked": ("redis", PLAINLY),
    "greeted": ("tls", SECURELY),
    "asked-securely": ("redis", SECURELY),
}
"""How the same Redis is checked, and reached."""


class Near(Suite):
    """tcpsuite on the near machine, which is led to by UNIX sockets alone."""

    def __init__(self, link: Link, folder: Path) -> None:
        text = "".join(
            UPSTREAM.format(name=name, folder=folder, check=check, address=address.format(folder=folder))
            for name, (check, address) in UPSTREAMS.items()
        )
        self.folder = folder
        env = {"TCPSUITE__ADMIN__ENDPOINT": f"unix:{folder}/admin"}
        super().__init__(text, folder, argv=link.near(*TWISTD), env=env)

    def connect(self, name: str) -> socket.socket:
        """A connection to one of its listeners."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(30)
        try:
            connection.connect(str(self.folder / name))
        except BaseException:
            connection.close()
            raise
        return connection

    def get(self, path: str) -> tuple[int, str]:
        with closing(http.client.HTTPConnection("localhost")) as connection:
            connection.sock = self.connect("admin")
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()


@pytest.fixture
def link(running: ExitStack) -> Link:
    """A link between two machines."""
    return running.enter_context(Link())


@pytest.fixture
def gateway(link: Link, tmp_path: Path, running: ExitStack) -> Near:
    """A gateway near, to a Redis far away."""
    need("redis-server")
    pem = str(write_certificate(tmp_path))
    tls = (
        "--tls-cert-file",
        pem,
        "--tls-key-file",
        pem,
        "--tls-ca-cert-file",
        pem,
        "--tls-auth-clients",
        "no",
    )
    command = ("redis-server", "--bind", FAR, "--protected-mode", "no", "--save", "", "--port", str(PLAIN))
    far = link.far(*command, "--tls-port", str(TLS), *tls)
    redis = running.enter_context(Program(*far, log=tmp_path / "redis.log"))
    redis.ready(lambda: "Ready to accept connections" in redis.output, "Redis listened")
    return running.enter_context(Near(link, tmp_path)).started()


def ask(gateway: Near, running: ExitStack) -> list[socket.socket]:
    """A client of each of the listeners, which has asked."""
    clients = [running.enter_context(gateway.connect(name)) for name in UPSTREAMS]
    for client in clients:
        client.sendall(b"PING\r\n")
    return clients


def answers(clients: list[socket.socket]) -> set[bytes]:
    """What they are answered."""
    return {client.recv(7, socket.MSG_WAITALL) for client in clients}


def test_a_link_that_breaks(gateway: Near, link: Link, running: ExitStack) -> None:
    """However a server is checked, it is down soon after the link to it broke: its clients are cut, and who
    comes then waits, and is served when the link is there again.
    """
    clients = ask(gateway, running)
    assert answers(clients) == {b"+PONG\r\n"}
    link.pull()
    assert answers(clients) == {b""}, "a UNIX socket knows no reset"
    status = gateway.status()
    assert [each["totals"]["ended"] for each in status["listeners"]] == [{"server_down": 1}] * len(UPSTREAMS)
    assert not any(each["servers"][0]["up"] for each in status["upstreams"].values())
    for name in UPSTREAMS:
        (far,) = json.loads(gateway.get(f"/api/v1/health/{name}")[1])["servers"].values()
        assert far["transition"]["reason"].startswith("3 checks in a row failed: no "), far

    clients = ask(gateway, running)
    wait_until(lambda: waiting(gateway) == [1] * len(UPSTREAMS), "all of them waited")
    link.plug_in()
    assert answers(clients) == {b"+PONG\r\n"}
    assert waiting(gateway) == [0] * len(UPSTREAMS)
    for client in clients:
        client.close()
    gateway.finish()


def waiting(gateway: Near) -> list[int]:
    """How many clients wait at each upstream."""
    return [each["queue"]["waiting"] for each in gateway.status()["upstreams"].values()]

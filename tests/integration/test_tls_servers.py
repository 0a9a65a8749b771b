"""A gateway to servers over TLS: with good certificates, with others, and with none."""

from __future__ import annotations

import json
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.support.programs import Program, accepts, free_port, need, wait_until
from tests.support.gateways import listening
from tests.support.sockets import write_certificate

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from tests.integration.support.suites import Suite

GATEWAY = """
[listener.front]
endpoint = "{endpoint}"
service = "gateway"
upstream = "secure"

[upstream.secure]
servers = [{servers}]
health = {{ type = "tls", interval = "200ms", timeout = "1s" }}

[access_log]
path = "-"
format = "json"
"""
PLAIN = "tcp:<front>:interface=127.0.0.1"
ASKED = b"GET / HTTP/1.0\r\n\r\n"


def gateway(ports: dict[str, int], trusted: Path, endpoint: str = PLAIN) -> str:
    """The configuration of a gateway to these servers."""
    address = "tls:localhost:{port}:trustRoots={trusted}"
    servers = (
        f'{{ name = "{name}", address = "{address.format(port=port, trusted=trusted)}" }}'
        for name, port in ports.items()
    )
    return GATEWAY.format(endpoint=endpoint, servers=", ".join(servers))


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    """Where the certificates lie that the gateway trusts."""
    folder = tmp_path / "trusted"
    folder.mkdir()
    return folder


@pytest.fixture
def server(tmp_path: Path, running: ExitStack) -> Callable[..., int]:
    """Start a web server over TLS with this certificate and these options: its port."""
    need("openssl")

    def start(pem: Path, *options: str) -> int:
        port = free_port()
        where = ("-accept", f"127.0.0.1:{port}", "-cert", str(pem), "-key", str(pem))
        command = ("openssl", "s_server", "-www", "-quiet", *where, *options)
        program = running.enter_context(Program(*command, log=tmp_path / f"openssl-{port}.log"))
        program.ready(lambda: accepts(port), "openssl listened")
        return port

    return start


def servers(suite: Suite) -> dict[str, Any]:
    """The servers, by name."""
    return {each["name"]: each for each in suite.status()["upstreams"]["secure"]["servers"]}


def ended(suite: Suite, number: int) -> list[tuple[str, str]]:
    """Why so many connections ended: the reasons and the details."""

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in suite.output.splitlines() if line.startswith("{")]

    wait_until(lambda: len(lines()) == number, f"{number} lines in the access log")
    return [(line["reason"], line["detail"]) for line in lines()]


def test_certificates(
    serve: Callable[..., Suite], server: Callable[..., int], trusted: Path, tmp_path: Path
) -> None:
    """Only a server whose certificate is good, for its name and today, is up, and gets the clients."""
    expired = write_certificate(trusted, days=-1).rename(trusted / "expired.pem")
    pems = {
        "good": write_certificate(trusted),
        "renamed": write_certificate(trusted, "elsewhere.example"),
        "strange": write_certificate(tmp_path),
        "expired": expired,
    }
    ports = {name: server(pem) for name, pem in pems.items()}
    with listening() as silent:
        suite = serve(gateway({**ports, "silent": silent.getsockname()[1]}, trusted))
        wait_until(lambda: not servers(suite)["silent"]["up"], "the silent one was found out")
    assert {name: each["last_error"] for name, each in servers(suite).items()} == {
        "good": "",
        "renamed": "TLS: the certificate has another name",
        "strange": "TLS: certificate verify failed",
        "expired": "TLS: certificate verify failed",
        "silent": "no answer within 1 s",
    }
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", suite.ports["front"]), timeout=10) as client:
            client.sendall(ASKED)
            assert client.recv(12, socket.MSG_WAITALL) == b"HTTP/1.0 200"
    told = servers(suite)
    assert [name for name, each in told.items() if each["up"]] == ["good"]
    assert {name: each["connections"] for name, each in told.items() if each["connections"]} == {"good": 5}
    suite.finish()


def test_what_tls_says_is_said_in_words(
    serve: Callable[..., Suite], server: Callable[..., int], trusted: Path
) -> None:
    """A server that wants a certificate of us, and a client that speaks no TLS, are told of in the log."""
    pem = write_certificate(trusted)
    ports = {"strict": server(pem, "-Verify", "1")}
    suite = serve(gateway(ports, trusted, f"ssl:<front>:interface=127.0.0.1:privateKey={pem}"))
    front = ("127.0.0.1", suite.ports["front"])

    trusting = ssl.create_default_context(cafile=str(pem))
    with (
        socket.create_connection(front, timeout=10) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as client,
        pytest.raises((ConnectionResetError, ssl.SSLEOFError)),  # what Python makes of a reset
    ):
        client.recv(1)
    with socket.create_connection(front, timeout=10) as plain:
        plain.sendall(ASKED)
        assert plain.recv(1) == b""
    assert ended(suite, 2) == [
        ("server_reset", "TLS: tlsv13 alert certificate required"),
        ("protocol_error", "TLS: http request"),
    ]
    assert servers(suite)["strict"]["last_error"] == "TLS: tlsv13 alert certificate required"
    suite.finish()

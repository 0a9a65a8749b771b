"""Health checks of real servers: well while they run, quiet in their logs, and not well when they are not."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from tcpsuite.core.servers import Server
from tcpsuite.net.checks import CHECKS
from tcpsuite.net.health_options import HealthOptions
from tcpsuite.options import Provider, Secret
from tests.integration.support.postgres import Postgres
from tests.integration.support.programs import Program, accepts, free_port, need, run
from tests.integration.support.redis import Redis
from tests.support.sockets import write_certificate

if TYPE_CHECKING:
    from contextlib import ExitStack

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr info;
events {{}}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port};
    location = /well {{ return 204; }}
    location = /ill {{ return 503; }}
  }}
  server {{
    listen 127.0.0.1:{port};
    server_name other.example;
    return 404;
  }}
}}
"""

QUIET_SMTP = """
import sys, time
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
Controller(Sink(), hostname="127.0.0.1", port=int(sys.argv[1])).start()
time.sleep(600)
"""


async def said(kind: str, port: int, address: str = "tcp:127.0.0.1:{port}", **options: Any) -> str:
    """The error of a check of a server on a port of loopback; empty when the server is well."""
    table = HealthOptions(type=Provider(kind), **options)
    outcome = await CHECKS[kind](reactor, table).check(Server("a", address.format(port=port)))
    assert outcome.ok is not bool(outcome.error)
    assert 0 <= outcome.seconds < 2.5
    return outcome.error


@pytest_twisted.ensureDeferred
async def test_redis(tmp_path: Path, running: ExitStack) -> None:
    """A Redis is well with and without a password, and logs nothing of it; not with a wrong one, nor gone."""
    need("redis-server", "redis-cli")
    redis = running.enter_context(Redis(free_port(), tmp_path)).started()
    before = redis.output
    assert await said("redis", redis.port) == ""
    assert await said("send_expect", redis.port, send=r"PING\r\n", expect=r"+PONG\r\n") == ""
    assert await said("send_expect", redis.port, send=r"ECHO \x41\r\n", expect_regex=r"^\$1\r\nA") == ""
    assert redis.output == before
    run("redis-cli", "-p", str(redis.port), "CONFIG", "SET", "requirepass", "sesame")
    assert await said("redis", redis.port) == ""
    assert await said("redis", redis.port, password=Secret("sesame")) == ""
    assert "WRONGPASS" in await said("redis", redis.port, password=Secret("wrong"))
    redis.end()
    assert await said("redis", redis.port) == "connection refused"


@pytest_twisted.ensureDeferred
async def test_postgresql(running: ExitStack) -> None:
    """A PostgreSQL is well, and its log has no line of the checks."""
    need("initdb", "postgres", "pg_isready", "setpriv")
    # Not in tmp_path, which is closed to other users.
    folder = Path(running.enter_context(TemporaryDirectory(prefix="tcpsuite-postgres-")))
    postgres = running.enter_context(Postgres(folder)).started()
    before = postgres.output
    for _ in range(5):
        assert await said("postgresql", postgres.port) == ""
    assert await said("redis", postgres.port) != ""
    assert "invalid length of startup packet" in postgres.output[len(before) :]
    assert postgres.output[len(before) :].count("LOG:") == 1  # of the wrong check alone


@pytest_twisted.ensureDeferred
async def test_http(tmp_path: Path, running: ExitStack) -> None:
    """nginx is well by the status of the page that is asked for, and by no other."""
    need("nginx")
    port, config = free_port(), tmp_path / "nginx.conf"
    config.write_text(NGINX.format(folder=tmp_path, port=port))
    nginx = running.enter_context(Program("nginx", "-c", config, "-p", tmp_path, log=tmp_path / "log"))
    nginx.ready(lambda: accepts(port), "nginx listened")
    assert await said("http", port, path="/well") == ""
    assert await said("http", port, path="/well", status="200") == "HTTP status 204"
    assert await said("http", port, path="/ill") == "HTTP status 503"
    assert await said("http", port, path="/ill", status="200,500-599") == ""
    assert await said("http", port, path="/well", host="other.example") == "HTTP status 404"
    assert "[error]" not in nginx.output
    assert await said("smtp", port, timeout=0.2) == "no answer within 0.2 s"


@pytest_twisted.ensureDeferred
async def test_smtp(tmp_path: Path, running: ExitStack) -> None:
    """A mail server is well, and has nothing to complain of."""
    pytest.importorskip("aiosmtpd")
    port = free_port()
    server = running.enter_context(
        Program(sys.executable, "-c", QUIET_SMTP, str(port), log=tmp_path / "log", env={"PYTHONDEVMODE": "1"})
    )
    server.ready(lambda: accepts(port), "aiosmtpd listened")
    assert await said("smtp", port) == ""
    assert await said("smtp", port) == ""
    assert server.output == ""
    assert (await said("redis", port)).startswith("answered '220 ")


@pytest_twisted.ensureDeferred
async def test_tls(tmp_path: Path, running: ExitStack) -> None:
    """A server of TLS is well by its handshake; its certificate counts when it is to."""
    need("openssl")
    port, pem = free_port(), write_certificate(tmp_path)
    server = running.enter_context(
        Program(
            *("openssl", "s_server", "-www", "-accept", f"127.0.0.1:{port}", "-cert", pem, "-key", pem),
            log=tmp_path / "log",
        )
    )
    server.ready(lambda: accepts(port), "openssl listened")
    trusting = f"tls:localhost:{{port}}:trustRoots={tmp_path}"
    assert await said("tls", port) == ""
    assert await said("tls", port, host="localhost") == ""
    assert await said("tls", port, verify=True, host="localhost") == "TLS: certificate verify failed"
    assert await said("tls", port, address=trusting) == ""
    assert await said("tls", port, address="tls:localhost:{port}") == "TLS: certificate verify failed"
    by_number = trusting.replace("localhost", "127.0.0.1", 1)
    assert await said("tls", port, address=by_number) == "TLS: the certificate has another name"
    assert await said("http", port, address=trusting) == ""
    assert await said("http", port, address="tls:localhost:{port}") == "TLS: certificate verify failed"

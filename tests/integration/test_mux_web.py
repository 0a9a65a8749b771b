"""A web server of Twisted's on streams, that knows nothing of them, and curl that does not either."""

from __future__ import annotations

import hashlib
import os
import sys
from typing import TYPE_CHECKING

from tests.integration.support.programs import Program, accepts, free_port, need, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.support.suites import Suite

GATEWAY = """
[listener.front]
endpoint = "tcp:<front>:interface=127.0.0.1"
service = "gateway"
upstream = "web"

[upstream.web]
servers = [{{ name = "web", address = "mux:tcp:127.0.0.1:{port}:connections=2" }}]
"""
PARALLEL = 40


def test_twistd_web(serve: Callable[..., Suite], tmp_path: Path) -> None:
    """``twistd web --listen mux:…`` serves files behind a gateway, to many at once, whole and in parts."""
    need("curl")
    site = tmp_path / "site"
    site.mkdir()
    content = os.urandom(10_000_000)
    (site / "large").write_bytes(content)
    for number in range(PARALLEL):
        (site / f"{number}").write_bytes(content[: number * 10_000])
    port = free_port()
    twistd = [sys.executable, "-m", "twisted", "web", "--listen", f"mux:tcp:{port}:interface=127.0.0.1"]
    with Program(*twistd, "--path", site, log=tmp_path / "twistd.log") as web:
        web.ready(lambda: accepts(port), "it listens")
        suite = serve(GATEWAY.format(port=port))
        front = f"http://127.0.0.1:{suite.ports['front']}"
        got = tmp_path / "got"
        run(
            "curl",
            "-sSf",
            "--parallel",
            "--parallel-max",
            "20",
            f"{front}/[0-{PARALLEL - 1}]",
            "-o",
            f"{got}#1",
        )
        for number in range(PARALLEL):
            assert got.with_name(f"got{number}").read_bytes() == content[: number * 10_000]
        run("curl", "-sSf", f"{front}/large", "-o", got)
        assert hashlib.sha256(got.read_bytes()).digest() == hashlib.sha256(content).digest()
        run("curl", "-sSf", "-r", "5000000-5999999", f"{front}/large", "-o", got)
        assert got.read_bytes() == content[5_000_000:6_000_000]
        assert run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"{front}/none").stdout == "404"
        assert "Traceback" not in web.output
        suite.finish()

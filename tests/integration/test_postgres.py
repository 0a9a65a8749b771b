"""PostgreSQL behind the gateway."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.integration.support.postgres import Postgres, psql
from tests.integration.support.programs import need

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from tests.integration.support.suites import Suite

GATEWAY = """
[listener.db]
endpoint = "tcp:<db>:interface=127.0.0.1"
service = "gateway"
upstream = "pg"

[upstream.pg]
strategy = "least_connections"
servers = [{ name = "only", address = "tcp:127.0.0.1:<postgres>" }]
"""

ROWS = 100_000


def test_copy(serve: Callable[..., Suite], tmp_path: Path, running: ExitStack) -> None:
    """100,000 rows copied out and in again through the gateway are the same rows."""
    need("initdb", "postgres", "pg_isready", "psql", "setpriv")
    # Not in tmp_path, which is closed to other users.
    folder = Path(running.enter_context(TemporaryDirectory(prefix="tcpsuite-postgres-")))
    postgres = running.enter_context(Postgres(folder)).started()
    gateway = serve(GATEWAY, ports={"postgres": postgres.port})
    port = gateway.ports["db"]
    first, second = tmp_path / "first", tmp_path / "second"

    psql(
        port,
        "CREATE TABLE first (id integer, text text)",
        f"INSERT INTO first SELECT g, repeat(md5(g::text), 1 + g % 7) FROM generate_series(1, {ROWS}) g",
        f"\\copy first TO '{first}'",
        "CREATE TABLE second (LIKE first)",
        f"\\copy second FROM '{first}'",
        f"\\copy second TO '{second}'",
    )

    assert first.read_bytes().count(b"\n") == ROWS
    assert first.read_bytes() == second.read_bytes()
    assert psql(port, "SELECT count(*) FROM (TABLE first EXCEPT ALL TABLE second) AS different") == "0\n"
    gateway.finish()

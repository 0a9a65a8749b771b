"""Our endpoint string in somebody else's program: Twisted's own web server."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.request import urlopen

from tests.integration.support.programs import Program, free_port, wait_until
from tests.integration.support.suites import BIN

if TYPE_CHECKING:
    from pathlib import Path


def web(port: int, folder: Path) -> Program:
    """A web server on that port, beside others, with one page that says its name."""
    folder.mkdir()
    (folder / "index.html").write_text(folder.name)
    return Program(
        BIN / "twistd", "--nodaemon", "--pidfile=", "web", "--path", folder,
        "--listen", f"tcpsuite:{port}:interface=127.0.0.1:reusePort=yes",
        log=folder.with_suffix(".log"),
    )  # fmt: skip


def test_two_processes_share_a_port(tmp_path: Path) -> None:
    """Two twistd web on one port, by ``tcpsuite:`` with reusePort, both get connections."""
    port, seen = free_port(), set[str]()

    def both() -> bool:
        with urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            seen.add(answer.read().decode())
        return seen == {"one", "other"}

    with web(port, tmp_path / "one") as one, web(port, tmp_path / "other") as other:
        wait_until(both, "both answered")
        for each in (one, other):
            each.end()
            assert "Traceback" not in each.output

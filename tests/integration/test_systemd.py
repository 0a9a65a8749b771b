"""The units, and what the process says to systemd."""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path
from signal import SIGTERM
from typing import TYPE_CHECKING

import pytest

from tests.integration.support.environments import CHECKOUT
from tests.integration.support.programs import free_port, need, run, wait_until
from tests.integration.support.suites import BIN, TWISTD, Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack

UNITS = CHECKOUT / "etc" / "systemd"

ECHO = """
drain_timeout = "50s"

[listener.echo]
endpoint = "tcp:<echo>:interface=127.0.0.1"
service = "echo"
"""


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Copies of the units, the service's leading to this environment's twistd."""
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder)
    service = folder / "tcpsuite.service"
    text = service.read_text()
    assert "ExecStart=/opt/tcpsuite/bin/twistd " in text
    # A unit's paths have no spaces; a checkout's may.
    (tmp_path / "bin").symlink_to(BIN)
    service.write_text(text.replace("/opt/tcpsuite/bin", str(tmp_path / "bin")))
    return folder


def test_verify(units: Path) -> None:
    """systemd-analyze verify has nothing to say."""
    need("systemd-analyze")
    done = run("systemd-analyze", "verify", units / "tcpsuite.service", units / "tcpsuite.socket")
    assert done.stdout + done.stderr == ""


def test_security(units: Path) -> None:
    """systemd-analyze security rates the service 1.1, of 10.0 for one without a sandbox."""
    need("systemd-analyze")
    run("systemd-analyze", "security", "--offline=yes", "--threshold=11", units / "tcpsuite.service")


@pytest.fixture
def service_manager() -> Iterator[socket.socket]:
    """A socket that listens to notifications, as systemd's does."""
    with (
        tempfile.TemporaryDirectory(prefix="tcpsuite-notify-") as folder,  # the path must be short
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.bind(f"{folder}/notify")
        manager.settimeout(30)
        yield manager


def test_notifications(serve: Callable[..., Suite], service_manager: socket.socket) -> None:
    """READY is sent once everything listens; STOPPING asks for the drain's time and some for closing."""
    suite = serve(ECHO, env={"NOTIFY_SOCKET": service_manager.getsockname()})
    assert b"READY=1" in service_manager.recv(4096).splitlines()
    suite.signal(SIGTERM)
    lines = dict(line.split(b"=", 1) for line in service_manager.recv(4096).splitlines())
    assert lines[b"STOPPING"] == b"1"
    assert 50_000_000 < int(lines[b"EXTEND_TIMEOUT_USEC"]) <= 60_000_000
    assert suite.wait() == 0


@pytest.mark.parametrize("which", ["index=0", "name=front"])
def test_socket_activation(tmp_path: Path, running: ExitStack, which: str) -> None:
    """The socket that systemd opened is taken over, by its number or by its name."""
    need("systemd-socket-activate")
    port = free_port()
    activate = ("systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=front")
    environment = (f"--setenv=STATE_DIRECTORY={tmp_path}/state",)
    text = f'[listener.echo]\nendpoint = "systemd:domain=INET:{which}"\nservice = "echo"\n'
    suite = running.enter_context(Suite(text, tmp_path, argv=(*activate, *environment, *TWISTD)))

    def connect() -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout=30)

    # The first connection starts the process, and waits for it in the socket's queue.
    with wait_until(connect, "systemd-socket-activate listened") as first:
        first.sendall(b"first")
        assert first.recv(5) == b"first"
    with connect() as second:
        second.sendall(b"second")
        assert second.recv(6) == b"second"
    suite.finish()

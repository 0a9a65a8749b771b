"""Notifications to the service manager, as a real datagram socket receives them."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net import notify
from tcpsuite.net.notify import Notifier


class NotifierTests(SynchronousTestCase):
    """What arrives, and what does not."""

    def manager(self, address: str) -> socket.socket:
        """The service manager's end of the line."""
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(address)
        manager.settimeout(5)
        return manager

    def path(self) -> str:
        """A path that is short enough for a UNIX socket."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return os.path.join(folder.name, "notify")

    def test_ready(self) -> None:
        """READY goes to the socket that NOTIFY_SOCKET names, with the status in the same datagram."""
        path = self.path()
        manager = self.manager(path)
        Notifier.from_environment({"NOTIFY_SOCKET": path}).ready("4 listeners")
        self.assertEqual(manager.recv(4096), b"READY=1\nSTATUS=4 listeners")

    def test_abstract(self) -> None:
        """An @ stands for an abstract socket."""
        name = f"tcpsuite-test-{os.getpid()}"
        manager = self.manager(f"\0{name}")
        Notifier(f"@{name}").status("half way")
        self.assertEqual(manager.recv(4096), b"STATUS=half way")

    def test_stopping(self) -> None:
        """STOPPING asks for the time that it needs, in whole microseconds."""
        path = self.path()
        manager = self.manager(path)
        Notifier(path).stopping(35.5, "draining")
        self.assertEqual(manager.recv(4096), b"STOPPING=1\nEXTEND_TIMEOUT_USEC=35500000\nSTATUS=draining")

    def test_nobody_asked(self) -> None:
        """Without NOTIFY_SOCKET, or with one that names no UNIX socket, nothing happens."""
        Notifier.from_environment({}).ready()
        Notifier.from_environment({"NOTIFY_SOCKET": "vsock:2:1234"}).ready()

    def test_nobody_listens(self) -> None:
        """A socket that is gone, or was never there, is no error."""
        path = self.path()
        Notifier(path).ready()
        self.manager(path).close()
        Notifier(path).ready()

    def test_nobody_reads(self) -> None:
        """A service manager that reads nothing costs a moment, not the service."""
        self.patch(notify, "PATIENCE", 0.001)
        path = self.path()
        self.manager(path)
        queue = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
        for _ in range(queue + 10):
            Notifier(path).status("still here")

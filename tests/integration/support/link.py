"""Two machines and the cable between them, which can be pulled: network namespaces, with nothing of ours in
them, and nothing of them in ours.  UNIX sockets lead into them.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from tests.integration.support.programs import need, run, wait_until

FAR = "192.0.2.2"
"""The address of the far machine."""
_NEAR = "192.0.2.1"


class Link:
    """Two machines that see nothing but each other.  Use it as a context; without the right to have such, the
    test is skipped.

    A machine goes with the process that holds it, and the cable with it, whatever becomes of the test.
    """

    def __enter__(self) -> Self:
        need("unshare", "nsenter", "ip")
        if os.geteuid() != 0:
            pytest.skip("only root has machines and cables")
        with ExitStack() as machines:
            self._near, self._far = (machines.enter_context(_Machine()) for _ in range(2))
            cable = ("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0")
            if run(*self.near(*cable, "netns", str(self._far.pid)), check=False).returncode != 0:
                pytest.skip("no cables here")
            for command, address in (self.near, _NEAR), (self.far, FAR):
                run(*command("ip", "address", "add", f"{address}/30", "dev", "eth0"))
                run(*command("ip", "link", "set", "eth0", "up"))
            self._machines = machines.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._machines.close()

    def near(self, *argv: str) -> tuple[str, ...]:
        """What runs a program on the near machine."""
        return self._near.command(*argv)

    def far(self, *argv: str) -> tuple[str, ...]:
        """What runs a program on the far machine."""
        return self._far.command(*argv)

    def pull(self) -> None:
        """Pull the cable: nothing arrives any more, and nobody is told."""
        run(*self.far("ip", "link", "set", "eth0", "down"))

    def plug_in(self) -> None:
        """Plug it in again."""
        run(*self.far("ip", "link", "set", "eth0", "up"))


class _Machine:
    """A namespace, and the process that holds it."""

    def __enter__(self) -> Self:
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stderr=subprocess.DEVNULL)
        try:
            wait_until(self._is_there, "there was a namespace")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()
        self._holder.wait()

    @property
    def pid(self) -> int:
        return self._holder.pid

    def command(self, *argv: str) -> tuple[str, ...]:
        return ("nsenter", "--target", str(self.pid), "--net", *argv)

    def _is_there(self) -> bool:
        if self._holder.poll() is not None:
            pytest.skip("no network namespaces here")
        return Path(f"/proc/{self.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()

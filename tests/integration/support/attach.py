"""``tcpsuite attach``, as a real process, and a suite for it."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Self

from tests.integration.support.programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.integration.support.suites import Suite

COMMAND = (sys.executable, "-m", "tcpsuite", "attach")
SUITE = """
[listener.sessions]
endpoint = "tcp:<sessions>:interface=127.0.0.1"
service = "session"
anonymous = true

[sessions]
store = "memory"
upstream = "db"
attach_timeout = "{timeout}"

[upstream.db]
servers = [{{ name = "only", address = "tcp:127.0.0.1:<server>" }}]

[listener.echo]
endpoint = "tcp:<echo>:interface=127.0.0.1"
service = "echo"
"""


def suite_for(serve: Callable[..., Suite], server: int, timeout: str = "2m") -> Suite:
    """A suite whose sessions have connections to a server on that port."""
    return serve(SUITE.format(timeout=timeout), ports={"server": server})


class Attach(Program):
    """It leads from a port of its own to the session service at ``suite``, a port of loopback or an endpoint.

    :ivar port: where it listens, once it has started.
    """

    port: int

    def __init__(
        self, suite: int | str, folder: Path, *options: str, env: Mapping[str, str] | None = None
    ) -> None:
        endpoint = suite if isinstance(suite, str) else f"127.0.0.1:{suite}"
        log = folder / f"attach-{len(list(folder.glob('attach-*.log')))}.log"
        super().__init__(*COMMAND, endpoint, "--listen", "0", *options, log=log, env=env)

    def started(self) -> Self:
        """Wait until it listens."""
        self.ready(lambda: "listening on " in self.output, "tcpsuite attach listened")
        self.port = int(re.findall(r"listening on 127\.0\.0\.1:(\d+)", self.output)[0])
        return self

    @property
    def told(self) -> list[str]:
        """What it has told since."""
        return self.output.splitlines()[1:]

"""tcpsuite itself, as a real process."""

from __future__ import annotations

import http.client
import json
import re
import sys
from pathlib import Path
from signal import SIGTERM
from typing import TYPE_CHECKING, Any, Self

from tests.integration.support.programs import Program, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from signal import Signals

BIN = Path(sys.executable).parent
"""Where this environment's programs are."""

TWISTD = (str(BIN / "twistd"), "--nodaemon", "--pidfile=", "tcpsuite")
"""How a service manager starts it."""

ADMIN = """
[admin]
endpoint = "tcp:<admin>:interface=127.0.0.1"
"""


class Suite(Program):
    """A tcpsuite of one's own.

    :param text: its configuration file, where ``<name>`` stands for a free port, which ``ports[name]`` tells;
        an admin listener is added.  ``None`` for no file.
    :param ports: ports that are settled.
    """

    def __init__(
        self,
        text: str | None,
        folder: Path,
        *,
        argv: tuple[str, ...] = TWISTD,
        env: Mapping[str, str] | None = None,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        self.ports = dict(ports or {})
        self.config = folder / "tcpsuite.toml"
        if text is not None:
            self.config.write_text(self._with_ports(text + ADMIN))
            argv = (*argv, "--config", str(self.config))
        log = folder / f"tcpsuite-{len(list(folder.glob('tcpsuite-*.log')))}.log"
        super().__init__(*argv, log=log, env={"STATE_DIRECTORY": str(folder / "state"), **(env or {})})

    def _with_ports(self, text: str) -> str:
        for name in re.findall(r"<(\w+)>", text):
            if name not in self.ports:
                self.ports[name] = free_port()
        return re.sub(r"<(\w+)>", lambda match: str(self.ports[match[1]]), text)

    def started(self) -> Self:
        """Wait until it is ready."""
        self.ready(lambda: self.get("/readyz")[0] == 200, "tcpsuite was ready")
        return self

    def get(self, path: str) -> tuple[int, str]:
        """Ask the admin listener: the status and the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["admin"], timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def status(self) -> Any:
        """What ``/api/v1/status`` says."""
        return json.loads(self.get("/api/v1/status")[1])

    def finish(self, number: Signals = SIGTERM) -> None:
        """Stop it, as a service manager does: it ends well, and has logged no fault of ours."""
        status = self.end(number)
        assert status == 0, repr(self)
        assert "Traceback" not in self.output, self.output

"""The pages of the admin listener, asked without a socket."""

from __future__ import annotations

import json
from typing import Any

from attrs import frozen
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.admin.control import Control
from tcpsuite.admin.guard import Guard
from tcpsuite.admin.pages import Pages
from tcpsuite.admin.refusals import Refusals
from tcpsuite.admin.site import AdminSite
from tcpsuite.admin.views import Views
from tcpsuite.net.http import Phase
from tests.admin.support import busy_suite


@frozen
class Got:
    """An answer, taken apart."""

    code: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def parse(cls, data: bytes) -> Got:
        head, _, body = data.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return cls(int(status.split()[1]), {name.lower(): value for name, value in pairs}, body)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asking(SynchronousTestCase):
    """Asks the pages of a busy suite, over one connection to a loopback address."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(10)
        self.suite = busy_suite()
        self.serve()

    def serve(
        self, token: str = "", *, reached: str = "127.0.0.1", peer: str = "127.0.0.1", proxied: bool = False
    ) -> None:
        refusals = Refusals(self.clock)
        views = Views(self.suite, Control(self.suite.upstreams), refusals, self.clock)
        self.site = AdminSite(Pages(views.pages, Guard([], token, proxied=proxied), refusals), self.clock)
        self.ends = IPv4Address("TCP", reached, 7099), IPv4Address("TCP", peer, 4711)
        self.connect()
        self.addCleanup(self.lose)

    def connect(self) -> None:
        self.transport = StringTransport(*self.ends)
        self.channel = self.site.buildProtocol(None)
        self.channel.makeConnection(self.transport)

    def lose(self) -> None:
        if self.channel.transport is not None:
            self.channel.connectionLost(Failure(ConnectionDone()))
            self.channel.transport = None

    def send(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> None:
        if self.channel.phase is Phase.CLOSING:  # what is refused with its body closes the connection
            self.lose()
            self.connect()
        self.transport.clear()
        lines = [f"{method} {path} HTTP/1.1"]
        length = {"Content-Length": str(len(body))} if body else {}
        lines += [
            f"{name.replace('_', '-')}: {value}"
            for name, value in {"Host": "localhost", **length, **headers}.items()
        ]
        self.channel.dataReceived("\r\n".join([*lines, "", ""]).encode() + body)

    def send_raw(self, *lines: bytes) -> int:
        """The status of the answer to a request of some lines, on a connection of its own."""
        self.serve("s3cret")
        self.channel.dataReceived(b"\r\n".join([*lines, b"", b""]))
        return Got.parse(self.transport.value()).code

    def get(self, path: str, method: str = "GET", **headers: str) -> Got:
        self.send(path, method, b"", **headers)
        return Got.parse(self.transport.value())

    def post(self, path: str, value: Any, **headers: str) -> Got:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send(path, "POST", body, **{"Content_Type": "application/json", **headers})
        return Got.parse(self.transport.value())

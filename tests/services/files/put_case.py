"""What the tests of uploads over HTTP share."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Any

from twisted.internet.defer import Deferred

from tcpsuite.services.files.http import FilesSite
from tests.support.files import Client, FilesCase, left_behind

BASIC = "Basic " + b64encode(b"ada:open sesame").decode()


def digest(data: bytes) -> str:
    """What says that ``data`` arrived whole."""
    return f"sha-256=:{b64encode(hashlib.sha256(data).digest()).decode()}:"


class PutCase(FilesCase):
    def setUp(self) -> None:
        super().setUp()
        self.site = FilesSite(self.share)
        self.client = Client(self, self.site)

    def tearDown(self) -> None:
        self.client.lose()
        self.threads.work()
        super().tearDown()

    def head(self, path: str = "/new", **headers: Any) -> bytes:
        """The head of a request; a header that is ``None`` is left out."""
        headers = {"Authorization": BASIC, "Content_Length": 5, **headers}
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value is not None]
        return "\r\n".join([f"PUT {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()

    def put(self, body: bytes = b"hello", path: str = "/new", **headers: Any) -> tuple[int, bytes]:
        """The status of the answer, and all of it."""
        answer = self.client.say(self.head(path, **{"Content_Length": len(body), **headers}) + body)
        return int(answer.split(b" ")[1]) if answer else 0, answer

    def hold_logins(self) -> list[Deferred[Any]]:
        """From now on a login takes until its Deferred here is fired with the user's name."""
        checks: list[Deferred[Any]] = []

        def check(_: object) -> Deferred[Any]:
            checks.append(Deferred())
            return checks[-1]

        self.patch(self.users, "requestAvatarId", check)
        return checks

    def content(self, name: str = "new") -> bytes:
        return (self.root / name).read_bytes()

    def assert_nothing(self, name: str = "new") -> None:
        self.assertFalse((self.root / name).exists())
        self.assertEqual(left_behind(self.root), [])

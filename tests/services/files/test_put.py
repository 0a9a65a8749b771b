"""PUT over HTTP: taken over at the headers, whole or not at all."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import Any

from twisted.internet.defer import fail

from tcpsuite.core.connections import Reason
from tcpsuite.errors import LoginFailed
from tcpsuite.services.files.upload import Upload
from tests.services.files.put_case import BASIC, PutCase, digest
from tests.support.files import CONTENT, HOSTILE, TOKEN, Client, left_behind


class PutTests(PutCase):
    def test_new(self) -> None:
        """A new file is there when it is answered, for everyone to read."""
        status, answer = self.put()
        self.assertEqual(status, 201)
        self.assertIn(b"Location: /new\r\n", answer)
        self.assertEqual(self.content(), b"hello")
        self.assertEqual((self.root / "new").stat().st_mode & 0o777, 0o644)
        self.assertEqual(self.client.record.user, "ada")

    def test_replaced(self) -> None:
        """A file that is there is replaced in one step."""
        before = (self.root / "file").stat().st_ino
        self.assertEqual(self.put(path="/file")[0], 204)
        self.assertEqual(self.content("file"), b"hello")
        self.assertNotEqual((self.root / "file").stat().st_ino, before)

    def test_byte_by_byte(self) -> None:
        """It is the same when every byte comes alone, and the next request is answered too."""
        for byte in self.head(path="/sub/n%20w") + b"hello":
            self.client.protocol.dataReceived(bytes([byte]))
        self.assertTrue(self.client.answer().startswith(b"HTTP/1.1 201 "))
        self.assertEqual(self.content("sub/n w"), b"hello")
        get = self.client.say(b"GET /sub/n%20w HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(get.endswith(b"\r\n\r\nhello"))

    def test_empty(self) -> None:
        """A file without bytes can be put."""
        self.assertEqual(self.put(b"")[0], 201)
        self.assertEqual(self.content(), b"")

    def test_chunked(self) -> None:
        """A body whose length only its end tells is taken."""
        head = self.head(Content_Length=None, Transfer_Encoding="chunked")
        answer = self.client.say(head + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 201 "), answer)
        self.assertEqual(self.content(), b"hello")

    def test_token(self) -> None:
        """Who bears the token needs no user."""
        self.assertEqual(self.put(Authorization=f"bearer {TOKEN}")[0], 201)
        self.assertEqual(self.client.record.user, "")

    def test_digest(self) -> None:
        """A body that has the announced digest is stored; other digests are not looked at."""
        self.assertEqual(self.put(Repr_Digest=digest(b"hello"))[0], 201)
        self.assertEqual(self.put(Repr_Digest=f"md5=:AAAA:, {digest(b'hello')}")[0], 204)
        self.assertEqual(self.put(Repr_Digest="sha-512=:AAAA:")[0], 204)

    def test_seen_when_whole(self) -> None:
        """Nobody sees a file before it is whole, under no name."""
        self.client.say(self.head(Content_Length=5) + b"hell")
        other = Client(self, self.site)
        temporary = os.path.basename(left_behind(self.root)[0])
        self.assertEqual((self.root / temporary).stat().st_mode & 0o777, 0o600)
        listing = other.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertNotIn(b"upload", listing)
        self.assertNotIn(b"new", listing)
        for name in ("new", temporary):
            answer = other.say(f"GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            self.assertTrue(answer.startswith(b"HTTP/1.1 404 "), name)
        other.lose()
        self.assertTrue(self.client.say(b"o").startswith(b"HTTP/1.1 201 "))

    def test_conditions(self) -> None:
        """What is there is replaced only when it is what was meant."""
        self.assertEqual(self.put(path="/file", If_None_Match="*")[0], 412)
        self.client = Client(self, self.site)
        self.assertEqual(self.put(path="/file", If_Match='"other"')[0], 412)
        self.client = Client(self, self.site)
        self.assertEqual(self.content("file"), CONTENT)
        self.assertEqual(self.put(If_None_Match="*")[0], 201)

    def test_condition_that_ceases_to_hold(self) -> None:
        """What must be the first of its name is not when another came first."""
        self.client.say(self.head(If_None_Match="*") + b"hell")
        (self.root / "new").write_bytes(b"first")
        self.assertTrue(self.client.say(b"o").startswith(b"HTTP/1.1 412 "))
        self.assertEqual(self.content(), b"first")


class ExpectTests(PutCase):
    def test_go_on(self) -> None:
        """Who asks first is told to go on, once, when nothing stands against it."""
        answer = self.client.say(self.head(Expect="100-continue"))
        self.assertEqual(answer, b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertTrue(self.client.say(b"hello").startswith(b"HTTP/1.1 201 "))

    def test_refused(self) -> None:
        """Who is refused is not told to go on."""
        refused: list[dict[str, Any]] = [
            {"Authorization": None}, {"Authorization": "Basic YWRhOng="}, {"Content_Length": 10_001},
            {"Content_Range": "bytes 0-4/9"}, {"path": "/sub"}, {"path": "/nothing/new"},
        ]  # fmt: skip
        for headers in refused:
            self.client = Client(self, self.site)
            answer = self.client.say(self.head(**{"Expect": "100-continue", **headers}))
            self.assertEqual(answer.count(b"HTTP/1.1 "), 1, headers)
            self.assertTrue(answer.startswith(b"HTTP/1.1 4"), headers)

    def test_while_the_password_is_checked(self) -> None:
        """The client goes on when its password has been checked, and not before."""
        checks = self.hold_logins()
        self.assertEqual(self.client.say(self.head(Expect="100-continue")), b"")
        checks[0].callback(b"ada")
        self.assertEqual(self.client.answer(), b"HTTP/1.1 100 Continue\r\n\r\n")


class RefusalTests(PutCase):
    def assert_refused(self, status: int, **headers: Any) -> bytes:
        """Refused at the headers, with nothing of the body read, and nothing left."""
        self.client = Client(self, self.site)
        answer = self.client.say(self.head(**headers))
        self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % status), (answer, headers))
        self.assertEqual(self.client.say(b"hello" + self.head()), b"")
        self.assertTrue(self.client.transport.disconnecting)
        self.assertIs(self.client.record.reason, Reason.PROTOCOL_ERROR)
        self.assert_nothing()
        return answer

    def test_without_a_right(self) -> None:
        """Who does not say who he is, or is not right, is told how one logs in."""
        wrong = b64encode(b"ada:wrong").decode()
        for value in (
            None,
            f"Basic {wrong}",
            "Basic ???",
            "Basic YWRh",
            "Bearer wrong",
            "Digest x",
            "Bearer",
        ):
            answer = self.assert_refused(401, Authorization=value)
            self.assertIn(b'WWW-Authenticate: Basic realm="files", charset="UTF-8"\r\n', answer)
            self.assertIn(b'WWW-Authenticate: Bearer realm="files"\r\n', answer)

    def test_too_many_logins_at_once(self) -> None:
        """A login that was not tried, as too many came at once, is over a limit: try again."""
        refused = LoginFailed("too many logins at once", "limit")
        self.patch(self.users, "requestAvatarId", lambda _: fail(refused))
        self.assertIn(b"too many logins at once", self.assert_refused(429))

    def test_too_large(self) -> None:
        """What is announced too large is refused before a byte of it comes."""
        self.assert_refused(413, Content_Length=10_001)

    def test_grows_too_large(self) -> None:
        """What grows too large is refused then, and nothing is left."""
        head = self.head(Content_Length=None, Transfer_Encoding="chunked")
        self.assertEqual(self.client.say(head + b"2710\r\n" + b"x" * 10_000 + b"\r\n"), b"")
        self.assertTrue(self.client.say(b"1\r\nx\r\n").startswith(b"HTTP/1.1 413 "))
        self.assertEqual(self.client.say(b"0\r\n\r\n"), b"")
        self.assert_nothing()

    def test_without_a_length(self) -> None:
        """How long it is must be said."""
        self.assert_refused(411, Content_Length=None)

    def test_a_part(self) -> None:
        """A part of a file is not stored in the place of the whole."""
        self.assert_refused(400, Content_Range="bytes 0-4/9")

    def test_packed(self) -> None:
        """What is packed on its way is not taken; a packed file is."""
        self.assert_refused(415, Content_Encoding="gzip")
        self.client = Client(self, self.site)
        self.assertEqual(self.put(path="/a.gz", Content_Encoding="identity")[0], 201)

    def test_bad_digest(self) -> None:
        """A digest that cannot be one is refused before the body."""
        for value in ("sha-256=:AAAA:", "sha-256=x", "sha-256=:!!!!:", "sha-256=:A:"):
            self.assert_refused(400, Repr_Digest=value)

    def test_places(self) -> None:
        """A file is not put where a directory is, or none, or something special."""
        for path, status in {
            "/": 409, "/sub": 409, "/sub/": 409, "/nothing/new": 404, "/file/new": 404,
            "/link": 403, "/fifo": 403, "/socket": 403, "/loop": 403, "/folderlink/x": 403,
        }.items():  # fmt: skip
            self.assert_refused(status, path=path)

    def test_hostile(self) -> None:
        """Nothing is put where nothing is found."""
        for path in HOSTILE:
            if path not in {"%ff%fe", "..%5csecret", "%c0%ae%c0%ae/secret"}:
                self.client = Client(self, self.site)
                self.assertIn(self.put(path="/" + path)[0], {400, 403, 404, 409}, path)
        self.assertEqual((self.root.parent / "secret").read_bytes(), b"what nobody may read")

    def test_far_away_in_the_open(self) -> None:
        """A password, and a token, that others could have read is not taken."""
        for value in (BASIC, f"Bearer {TOKEN}"):
            self.client = Client(self, self.site, host="192.0.2.1")
            answer = self.client.say(self.head(Authorization=value))
            self.assertTrue(answer.startswith(b"HTTP/1.1 403 "), answer)

    def test_nobody_knows_where_from(self) -> None:
        """A connection without a record has no right."""
        self.client.protocol.connection = None
        self.assertEqual(self.put()[0], 403)

    def test_digest_that_does_not_match(self) -> None:
        """What arrived is not what was sent: nothing is stored, and the connection goes on."""
        self.assertEqual(self.put(Repr_Digest=digest(b"hallo"))[0], 422)
        self.assert_nothing()
        self.assertEqual(self.put()[0], 201)

    def test_no_space(self) -> None:
        """A full disk is the server's to say."""

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        self.patch(Upload, "write", full)
        self.assertEqual(self.put()[0], 507)
        self.assert_nothing()

    def test_our_own_fault(self) -> None:
        """A fault of ours is a 500 while the body comes, and behind it, and a traceback in the log."""

        def broken(*_: object) -> int:
            raise ZeroDivisionError

        self.patch(Upload, "write", broken)
        answer = self.client.say(self.head() + b"hell")
        self.assertTrue(answer.startswith(b"HTTP/1.1 500 "))
        self.client = Client(self, self.site)
        self.assertEqual(self.put()[0], 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assert_nothing()


class NobodyTests(PutCase):
    def make_share(self) -> Any:
        self.authenticator = None  # type: ignore[assignment]
        return super().make_share()

    def test_nobody_can_log_in(self) -> None:
        """Without users, only the token counts, and only it is offered."""
        status, answer = self.put()
        self.assertEqual(status, 401)
        self.assertNotIn(b"Basic", answer)
        self.client = Client(self, self.site)
        self.assertEqual(self.put(Authorization=f"Bearer {TOKEN}")[0], 201)

    def test_a_token_may_not_be_overheard(self) -> None:
        """From another machine without TLS the token is refused, with or without users."""
        self.client = Client(self, self.site, host="192.0.2.7")
        self.assertEqual(self.put(Authorization=f"Bearer {TOKEN}")[0], 403)
        self.assert_nothing()

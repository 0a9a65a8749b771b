"""What the headers of a request say, and what of them is refused."""

from __future__ import annotations

from tests.services.files.put_case import PutCase, digest
from tests.support.files import CONTENT, Client


class AnyBytesTests(PutCase):
    """Headers hold any bytes; none of them is a fault of ours."""

    def test_get(self) -> None:
        """What is no condition and no range is ignored, or fails as one that does not hold."""
        for name, status in {
            b"Range": 200, b"If-Range": 200, b"If-None-Match": 200, b"If-Modified-Since": 200,
            b"If-Unmodified-Since": 200, b"If-Match": 412, b"Authorization": 200, b"Expect": 200,
        }.items():  # fmt: skip
            answer = self.client.say(b"GET /file HTTP/1.1\r\nHost: x\r\n" + name + b": \xff\r\n\r\n")
            self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % status), (name, answer))
        self.assertTrue(answer.endswith(CONTENT))

    def test_put(self) -> None:
        """What an upload says of itself is refused when it cannot be understood."""
        for name, status in {
            "Authorization": 401, "Repr-Digest": 400, "Content-Encoding": 415, "If-Match": 412,
            "If-None-Match": 201, "Expect": 204,
        }.items():  # fmt: skip
            head = self.head(**{name.replace("-", "_"): "VALUE"}).replace(b"VALUE", b"\xff")
            answer = self.client.say(head + b"hello")
            self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % status), (name, answer))
            self.client.lose()
            self.client = Client(self, self.site)

    def test_credentials(self) -> None:
        """Credentials of any bytes are wrong ones."""
        for scheme in (b"Basic", b"Bearer", b"\xff"):
            head = self.head(Authorization="VALUE").replace(b"VALUE", scheme + b" \xff\xfe")
            self.assertTrue(self.client.say(head + b"hello").startswith(b"HTTP/1.1 401 "), scheme)
            self.client = Client(self, self.site)


class FrameTests(PutCase):
    def test_no_end(self) -> None:
        """An upload that does not say where it ends replaces nothing, and none of it is a request."""
        for encoding, status in ((None, 411), ("identity", 501)):
            head = self.head("/file", Content_Length=None, Transfer_Encoding=encoding)
            answer = self.client.say(head + b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % status), answer)
            self.assertEqual(answer.count(b"HTTP/1.1"), 1)
            self.assertEqual(self.content("file"), CONTENT)
            self.client = Client(self, self.site)


class ExpectTests(PutCase):
    def test_begun(self) -> None:
        """Who sends the body with the headers is not told to go on, however long the login takes."""
        self.assertEqual(self.client.say(self.head(Expect="100-continue") + b"he"), b"")
        self.assertTrue(self.client.say(b"llo").startswith(b"HTTP/1.1 201 "))
        checks = self.hold_logins()
        self.client.say(self.head(Expect="100-continue"))
        self.client.say(b"he")
        checks[0].callback(b"ada")
        self.assertTrue(self.client.say(b"llo").startswith(b"HTTP/1.1 204 "))


class DigestTests(PutCase):
    right, wrong = digest(b"hello"), digest(b"other")

    def status(self, name: str, *lines: str) -> int:
        """What is answered to an upload that has so many lines of a header."""
        head = self.head()[:-2] + "".join(f"{name}: {line}\r\n" for line in lines).encode() + b"\r\n"
        client = Client(self, self.site)
        status = int(client.say(head + b"hello").split(b" ")[1])
        client.lose()
        return status

    def test_compared(self) -> None:
        """A digest is compared wherever in the header it stands; the last one counts."""
        right, wrong = self.right, self.wrong
        for lines, status in {
            (right,): 201,
            (wrong,): 422,
            (wrong, "md5=:AAAA:"): 422,
            ("md5=:AAAA:", wrong): 422,
            (f"sha-512=:AAAA:,{wrong}",): 422,
            (f"sha-512=:AAAA: \t,\t {right}",): 204,
            (right, wrong): 422,
            (wrong, right): 204,
            ("sha-512=:AAAA:, md5=::",): 204,
        }.items():
            self.assertEqual(self.status("Repr-Digest", *lines), status, lines)

    def test_not_understood(self) -> None:
        """A header that is no list of digests is refused, and never passed over."""
        value = self.right.partition("=")[2]
        for line in (
            "", "sha-256", "sha-256=", "sha-256=::", "sha-256=:AAAA:", f"sha-256 ={value}",
            f"sha-256= {value}",
            f"SHA-256={value}", f"Sha-256={value}", f"sha-256={value[1:]}", f"sha-256={value[:-1]}",
            f"{self.right},", f",{self.right}", f"{self.right};q=1", f"{self.right} md5=:AAAA:", "md5=1",
            f"sha-256={value.replace('=', '')}", f"sha-256=:{'=' * 44}:", "sha-256=:A:",
        ):  # fmt: skip
            self.assertEqual(self.status("Repr-Digest", line), 400, line)
        self.assertEqual(self.status("Repr-Digest", self.right, "?"), 400)
        self.assert_nothing()

    def test_packed(self) -> None:
        """A packed file is refused, in whichever line it is said."""
        for lines in (("gzip",), ("identity", "gzip"), ("gzip", "identity"), ("Identity, br",), ("\u00ff",)):
            self.assertEqual(self.status("Content-Encoding", *lines), 415, lines)
        self.assertEqual(self.status("Content-Encoding", "Identity", ""), 201)

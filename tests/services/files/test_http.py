"""Files over HTTP: what is sent, and what is not."""

from __future__ import annotations

import email.policy
import os
from email.utils import formatdate
from typing import Any

from attrs import frozen

from tcpsuite.core.connections import Reason
from tcpsuite.net.pagecache import BLOCK as STEP
from tcpsuite.services.files.http import FilesSite
from tests.support.files import CONTENT, HOSTILE, SECRET, Client, FilesCase

MODIFIED = 1_000_000_000
DATE = formatdate(MODIFIED, usegmt=True)


@frozen
class Response:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def read(cls, data: bytes) -> Response:
        """The one answer that ``data`` is."""
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        return cls(int(first.split(" ")[1]), {name.lower(): value for name, _, value in pairs}, body)


class HTTPCase(FilesCase):
    def setUp(self) -> None:
        super().setUp()
        os.utime(self.root / "file", (MODIFIED, MODIFIED))
        self.site = FilesSite(self.share)
        self.client = Client(self, self.site)

    def tearDown(self) -> None:
        self.client.lose()
        super().tearDown()

    def get(self, path: str, method: str = "GET", **headers: str) -> Response:
        """The answer to one request."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return Response.read(self.client.say("\r\n".join([*lines, "", ""]).encode()))


class GetTests(HTTPCase):
    def test_file(self) -> None:
        """A file comes whole, with all that a client needs to ask for it again."""
        answer = self.get("/file")
        self.assertEqual((answer.status, answer.body), (200, CONTENT))
        self.assertEqual(answer.headers["content-length"], "1000")
        self.assertEqual(answer.headers["content-type"], "application/octet-stream")
        self.assertEqual(answer.headers["last-modified"], DATE)
        self.assertEqual(answer.headers["accept-ranges"], "bytes")
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        self.assertRegex(answer.headers["etag"], '^"[^"]+"$')

    def test_head(self) -> None:
        """HEAD says what GET would, and nothing more; Range means nothing to it."""
        whole, head = self.get("/file"), self.get("/file", "HEAD", Range="bytes=0-1")
        self.assertEqual(head.body, b"")
        del whole.headers["date"], head.headers["date"]
        self.assertEqual((head.status, head.headers), (whole.status, whole.headers))

    def test_empty_file(self) -> None:
        """A file without bytes is one."""
        (self.root / "empty").touch()
        answer = self.get("/empty")
        self.assertEqual((answer.status, answer.headers["content-length"], answer.body), (200, "0", b""))

    def test_several_on_one_connection(self) -> None:
        """Requests that come at once are answered one after the other, and byte by byte too."""
        request = b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.assertEqual(self.client.say(request * 3).count(CONTENT), 3)
        answers = b"".join(self.client.say(bytes([byte])) for byte in request)
        self.assertEqual(Response.read(answers).body, CONTENT)

    def test_whole_address(self) -> None:
        """The first line may name the server, and a query means nothing."""
        self.assertEqual(self.get("http://localhost:80/file?x=/../y").body, CONTENT)
        self.assertEqual(self.get("HTTPS://x").status, 200)

    def test_http_1_0(self) -> None:
        """A client of HTTP/1.0 gets the file, and the end of the connection."""
        answer = Response.read(self.client.say(b"GET /file HTTP/1.0\r\n\r\n"))
        self.assertEqual(answer.body, CONTENT)
        self.assertTrue(self.client.transport.disconnecting)
        self.assertIs(self.client.record.reason, Reason.SERVICE_CLOSED)

    def test_hostile(self) -> None:
        """Whatever leads out of the root is refused, and the connection goes on."""
        for path in HOSTILE:
            answer = self.get("/" + path)
            self.assertIn(answer.status, {400, 403, 404}, path)
            self.assertNotIn(SECRET, answer.body)
            self.assertEqual(answer.headers["content-type"], "text/html; charset=utf-8")
        self.assertEqual(self.get("/file").status, 200)

    def test_without_a_slash(self) -> None:
        """What is no path is refused."""
        self.assertEqual(self.get("*").status, 405)
        self.assertEqual(self.get("file").status, 400)

    def test_other_methods(self) -> None:
        """What cannot be done is answered with what can."""
        for method in ("POST", "DELETE", "OPTIONS", "get", "PATCH"):
            answer = self.get("/file", method)
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD, PUT"), method)

    def test_with_a_body(self) -> None:
        """A body that nobody wants is taken up to a bound, and refused past it."""
        head = b"GET /file HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        self.assertEqual(Response.read(self.client.say(head % 5 + b"hello")).body, CONTENT)
        self.assertEqual(Response.read(self.client.say(head % 1_000_000)).status, 413)

    def test_error_pages(self) -> None:
        """An error is a page that says what is wrong, without repeating what was asked."""
        answer = self.get("/%3Cscript%3E")
        self.assertEqual(answer.status, 404)
        self.assertIn(b"<h1>404 Not Found</h1>", answer.body)
        self.assertNotIn(b"script", answer.body)
        self.assertEqual(self.get("/nothing", "HEAD").body, b"")


class ConditionTests(HTTPCase):
    def test_not_modified(self) -> None:
        """What the client has is not sent again."""
        etag = self.get("/file").headers["etag"]
        for headers in (
            {"If_None_Match": etag},
            {"If_None_Match": f'"other", W/{etag}'},
            {"If_None_Match": "*"},
            {"If_Modified_Since": DATE},
        ):
            answer = self.get("/file", **headers)
            self.assertEqual((answer.status, answer.body), (304, b""), headers)
            self.assertEqual(answer.headers["etag"], etag)
            self.assertNotIn("content-length", answer.headers)

    def test_modified(self) -> None:
        """What the client does not have is sent; a date that is none means nothing."""
        for headers in (
            {"If_None_Match": '"other"'},
            {"If_Modified_Since": formatdate(MODIFIED - 1, usegmt=True)},
            {"If_Modified_Since": "yesterday"},
            {"If_Modified_Since": "Foo, 99 Bar 1 x:y:z GMT"},
        ):
            self.assertEqual(self.get("/file", **headers).status, 200, headers)

    def test_several_lines(self) -> None:
        """A list of tags may come in several header lines."""
        etag = self.get("/file").headers["etag"].encode()
        lines = b'GET /file HTTP/1.1\r\nHost: x\r\nIf-None-Match: "a"\r\nIf-None-Match: ' + etag + b"\r\n\r\n"
        self.assertEqual(Response.read(self.client.say(lines)).status, 304)

    def test_not_the_one_that_was_meant(self) -> None:
        """A file that is not the one that was meant is not sent."""
        self.assertEqual(self.get("/file", If_Match='"other"').status, 412)
        earlier = formatdate(MODIFIED - 1, usegmt=True)
        self.assertEqual(self.get("/file", If_Unmodified_Since=earlier).status, 412)
        self.assertEqual(self.get("/file", If_Unmodified_Since=DATE).status, 200)


class RangeTests(HTTPCase):
    def test_one(self) -> None:
        """One range is sent as it is, with its place."""
        answer = self.get("/file", Range="bytes=5-9")
        self.assertEqual((answer.status, answer.body), (206, b"56789"))
        self.assertEqual(answer.headers["content-range"], "bytes 5-9/1000")
        self.assertEqual(answer.headers["content-length"], "5")
        self.assertEqual(self.get("/file", Range="bytes=990-").body, CONTENT[990:])
        self.assertEqual(self.get("/file", Range="bytes=-3").body, CONTENT[-3:])

    def test_several(self) -> None:
        """Several ranges are parts of one body, of the length that was announced."""
        answer = self.get("/file", Range="bytes=3-7,-5,100-101")
        self.assertEqual(answer.status, 206)
        self.assertEqual(int(answer.headers["content-length"]), len(answer.body))
        head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + answer.body, policy=email.policy.HTTP)
        parts = [(part["Content-Range"], part.get_payload(decode=True)) for part in message.iter_parts()]
        self.assertEqual(
            parts,
            [
                ("bytes 3-7/1000", b"34567"),
                ("bytes 995-999/1000", b"56789"),
                ("bytes 100-101/1000", b"01"),
            ],
        )

    def test_merged_to_one(self) -> None:
        """Ranges that touch are one, and sent as one."""
        answer = self.get("/file", Range="bytes=0-4,5-9")
        self.assertEqual((answer.headers["content-range"], answer.body), ("bytes 0-9/1000", CONTENT[:10]))

    def test_nothing_there(self) -> None:
        """A range behind the end is answered with how long the file is."""
        answer = self.get("/file", Range="bytes=1000-")
        self.assertEqual((answer.status, answer.headers["content-range"]), (416, "bytes */1000"))

    def test_ignored(self) -> None:
        """A range that is no range, or too many of them, is no range at all."""
        for header in ("bytes=x", "lines=0-1", "bytes=5-1", "bytes=" + ",".join(["0-0"] * 17)):
            answer = self.get("/file", Range=header)
            self.assertEqual((answer.status, len(answer.body)), (200, 1000), header)

    def test_if_range(self) -> None:
        """A part is sent only of the file that the client has a part of already."""
        etag = self.get("/file").headers["etag"]
        for value, status in {
            etag: 206, '"other"': 200, f"W/{etag}": 200, DATE: 206,
            formatdate(MODIFIED + 1, usegmt=True): 200,
        }.items():  # fmt: skip
            self.assertEqual(self.get("/file", Range="bytes=0-1", If_Range=value).status, status, value)

    def test_if_range_too_early(self) -> None:
        """A date whose second is not over is no promise."""
        self.share.now = lambda: MODIFIED + 0.5
        self.assertEqual(self.get("/file", Range="bytes=0-1", If_Range=DATE).status, 200)

    def test_condition_before_range(self) -> None:
        """What has not changed is not sent in parts either."""
        etag = self.get("/file").headers["etag"]
        self.assertEqual(self.get("/file", Range="bytes=0-1", If_None_Match=etag).status, 304)


class ListingTests(HTTPCase):
    def test_listing(self) -> None:
        """A directory is a page with links to what is in it, and to the one above."""
        (self.root / "sub" / "a&b <c>").touch()
        page = self.get("/sub/").body.decode()
        for text in ('href="inner"', 'href="../"', 'href="a%26b%20%3Cc%3E"', "a&amp;b &lt;c&gt;", "5 B"):
            self.assertIn(text, page)
        root = self.get("/")
        self.assertIn('href="sub/"', root.body.decode())
        self.assertIn("2001-09-09 01:46", root.body.decode())
        self.assertNotIn('href="../"', root.body.decode())
        self.assertIn("default-src 'none'", root.headers["content-security-policy"])

    def test_slash(self) -> None:
        """A directory that is asked for without a / is found with one, wherever its name points."""
        answer = self.get("/sub?x")
        self.assertEqual((answer.status, answer.headers["location"]), (301, "/sub/"))
        (self.root / "a b").mkdir()
        self.assertEqual(self.get("/a%20b").headers["location"], "/a%20b/")

    def test_head(self) -> None:
        """HEAD of a directory has no body."""
        answer = self.get("/", "HEAD")
        self.assertEqual((answer.status, answer.body), (200, b""))

    def test_left_while_it_was_made(self) -> None:
        """A client that leaves before its listing is made is told nothing, and the directory is closed."""
        self.threads.wait = True
        self.get_nothing("/")
        self.client.lose()
        self.threads.work()

    def get_nothing(self, path: str) -> None:
        self.assertEqual(self.client.say(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()), b"")


class NoListingTests(HTTPCase):
    listing = False
    uploads = False

    def test_forbidden(self) -> None:
        """Where directories are not listed, files are found all the same."""
        self.assertEqual(self.get("/").status, 403)
        self.assertEqual(self.get("/sub/").status, 403)
        self.assertEqual(self.get("/sub/inner").body, b"inner")

    def test_nothing_can_be_put(self) -> None:
        """Where nothing can be put, PUT is answered at its headers."""
        answer = self.get("/new", "PUT", Content_Length="5000000", Expect="100-continue")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))


class FlowTests(HTTPCase):
    """What a slow client, or one that leaves, costs."""

    def setUp(self) -> None:
        super().setUp()
        self.large = os.urandom(5 * STEP + 1)
        (self.root / "large").write_bytes(self.large)

    def ask(self, path: str = "/large") -> None:
        self.client.protocol.dataReceived(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    @property
    def producer(self) -> Any:
        """What the transport would pause and resume."""
        return self.client.transport.producer

    def descriptors(self) -> int:
        return len(os.listdir("/proc/self/fd"))

    def test_one_step_at_a_time(self) -> None:
        """While the client does not read, one step of the file is in memory, and no more."""
        self.ask()
        self.producer.pauseProducing()
        sent = bytearray(self.client.transport.value())
        self.assertLess(len(sent), STEP + 1000)
        self.clock.advance(20)
        self.assertEqual(self.client.transport.value(), bytes(sent))
        for _ in range(10):
            self.client.transport.clear()
            self.producer.resumeProducing()
            self.producer.pauseProducing()
            self.assertLessEqual(len(self.client.transport.value()), STEP)
            sent += self.client.transport.value()
        self.assertEqual(sent.partition(b"\r\n\r\n")[2], self.large)

    def test_one_step_a_turn(self) -> None:
        """A client that takes everything at once gets a step in each turn of the reactor."""
        self.ask()
        self.assertLess(len(self.client.transport.value()), STEP + 1000)
        self.assertIn(self.clock.seconds(), [call.getTime() for call in self.clock.getDelayedCalls()])
        self.assertTrue(self.client.answer().endswith(self.large))

    def test_asked_while_full(self) -> None:
        """A request that came while the last answers were not taken waits until there is room."""
        self.producer.pauseProducing()
        self.ask()
        self.assertTrue(self.client.transport.value().endswith(b"\r\n\r\n"))
        self.clock.advance(10)
        self.assertTrue(self.client.transport.value().endswith(b"\r\n\r\n"))
        self.client.transport.clear()
        self.producer.resumeProducing()
        self.assertEqual(self.client.answer(), self.large)

    def test_client_leaves(self) -> None:
        """A client that goes away leaves no descriptor open and no timer running."""
        before = self.descriptors()
        self.ask()
        self.producer.pauseProducing()
        self.assertEqual(self.descriptors(), before + 1)
        self.client.lose()
        self.assertEqual(self.descriptors(), before)

    def test_client_leaves_untold(self) -> None:
        """It is enough that the protocol is told."""
        before = self.descriptors()
        self.ask()
        self.client.transport.unregisterProducer()
        self.client.lose()
        self.assertEqual(self.descriptors(), before)

    def test_shrunk(self) -> None:
        """A file that becomes shorter while it is sent ends the connection: nothing is made up."""
        self.ask()
        os.truncate(self.root / "large", STEP + 10)
        body = self.client.answer().partition(b"\r\n\r\n")[2]
        self.assertEqual(body, self.large[: STEP + 10])
        self.assertTrue(self.client.transport.disconnected)
        self.assertIs(self.client.record.reason, Reason.SERVICE_CLOSED)
        self.assertIn("shorter", self.client.record.detail)

    def test_shrunk_without_a_record(self) -> None:
        """The same on a connection that nobody keeps a record of."""
        self.client.protocol.connection = None
        self.ask()
        os.truncate(self.root / "large", 1)
        self.client.answer()
        self.assertTrue(self.client.transport.disconnected)


class FaultTests(HTTPCase):
    def test_our_own_fault(self) -> None:
        """A fault of ours is a 500, and a traceback in the log."""
        self.share.now = None  # type: ignore[assignment]
        answer = self.get("/file", Range="bytes=0-1")
        self.assertEqual(answer.status, 500)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_system_fails(self) -> None:
        """A system call that fails is a 503."""

        def fail(*_: object) -> None:
            raise OSError(5, "Input/output error")

        self.share.in_thread = fail  # type: ignore[assignment]
        self.assertEqual(self.get("/").status, 503)

    def test_repr(self) -> None:
        """A site says what it serves."""
        self.assertEqual(repr(self.site), f"<FilesSite <Root {self.root}> channels=1>")

"""What is said to servers of several kinds, and what is made of their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.scripts import LONGEST_SHOWN, Unwell, shown
from tcpsuite.core.scripts.http import HTTP, parse_statuses
from tcpsuite.core.scripts.postgresql import PostgreSQL
from tcpsuite.core.scripts.redis import Redis
from tcpsuite.core.scripts.send_expect import SendExpect, literally, parse_bytes, parse_regex
from tcpsuite.core.scripts.smtp import SMTP
from tcpsuite.core.servers import Server

if TYPE_CHECKING:
    from tcpsuite.core.scripts import Script

SERVER = Server("a", "tcp:192.0.2.1:1")


class ScriptCase(SynchronousTestCase):
    """Checks every answer whole, byte by byte, and with something behind it."""

    def well(self, script: Script, answer: bytes, tail: bytes = b"anything") -> None:
        self.assertTrue(script.heard(answer))
        for end in range(len(answer)):
            self.assertFalse(script.heard(answer[:end]), answer[:end])
        if tail:
            self.assertTrue(script.heard(answer + tail))

    def unwell(self, script: Script, answer: bytes, why: str) -> None:
        with self.assertRaises(Unwell) as raised:
            script.heard(answer)
        self.assertEqual(str(raised.exception), why)


class RedisTests(ScriptCase):
    """PING."""

    def test_says(self) -> None:
        """PING in the protocol's own form; with a password AUTH before it, in one go."""
        ping = b"*1\r\n$4\r\nPING\r\n"
        self.assertEqual(Redis().opening(SERVER), ping)
        with_password = Redis("größe")
        self.assertEqual(
            with_password.opening(SERVER), b"*2\r\n$4\r\nAUTH\r\n$7\r\ngr\xc3\xb6\xc3\x9fe\r\n" + ping
        )
        self.assertEqual((repr(Redis()), repr(with_password)), ("<Redis>", "<Redis with a password>"))

    def test_pong(self) -> None:
        """PONG is well, and no earlier than its line has ended."""
        self.well(Redis(), b"+PONG\r\n")

    def test_wants_a_password(self) -> None:
        """Without a password here, one that wants one is well."""
        self.well(Redis(), b"-NOAUTH Authentication required.\r\n")

    def test_password(self) -> None:
        """With a password both answers must be good."""
        self.well(Redis("secret"), b"+OK\r\n+PONG\r\n")
        self.unwell(
            Redis("secret"),
            b"-WRONGPASS invalid username-password pair or user is disabled.\r\n-NOAUTH x\r\n",
            "answered '-WRONGPASS invalid username-password pair or user is disabled.'",
        )
        self.unwell(Redis("secret"), b"+OK\r\n-NOAUTH x\r\n", "answered '-NOAUTH x'")

    def test_anything_else(self) -> None:
        """One that is loading, has no room, or is something else is not."""
        self.unwell(
            Redis(),
            b"-LOADING Redis is loading the dataset in memory\r\n",
            "answered '-LOADING Redis is loading the dataset in memory'",
        )
        self.unwell(Redis(), b"220 mail ready\r\n", "answered '220 mail ready'")


class PostgreSQLTests(ScriptCase):
    """SSLRequest."""

    def test_says(self) -> None:
        """The eight bytes of the request."""
        self.assertEqual(PostgreSQL().opening(SERVER), b"\0\0\0\x08\x04\xd2\x16\x2f")
        self.assertEqual(repr(PostgreSQL()), "<PostgreSQL>")

    def test_yes_or_no(self) -> None:
        """Both answers are well."""
        self.well(PostgreSQL(), b"S", tail=b"")
        self.well(PostgreSQL(), b"N", tail=b"")

    def test_anything_else(self) -> None:
        """An error, or more than a byte, is not."""
        self.unwell(PostgreSQL(), b"E", "answered 'E'")
        self.unwell(PostgreSQL(), b"No such service\n", r"answered 'No such service\n'")


class SMTPTests(ScriptCase):
    """The greeting."""

    def test_says(self) -> None:
        """Nothing before the greeting, QUIT behind it."""
        self.assertEqual((SMTP().opening(SERVER), SMTP().parting), (b"", b"QUIT\r\n"))
        self.assertEqual(repr(SMTP()), "<SMTP>")

    def test_greeting(self) -> None:
        """220 in one line or several is well, once the last has ended; a bare line feed ends one too."""
        self.well(SMTP(), b"220 mail.example ESMTP\r\n")
        self.well(SMTP(), b"220-mail.example\r\n220-no spam\r\n220 go\r\n")
        self.well(SMTP(), b"220\n")

    def test_anything_else(self) -> None:
        """Another code is not, in the first line or a later one."""
        self.unwell(SMTP(), b"554 no service\r\n", "greeted with '554 no service'")
        self.unwell(SMTP(), b"220-mail\r\n421 too many\r\n", "greeted with '421 too many'")
        for line in ("2200 no", "220_no", "22"):
            self.unwell(SMTP(), line.encode() + b"\r\n", f"greeted with '{line}'")


class HTTPTests(ScriptCase):
    """GET."""

    def script(self, statuses: str = "200-399") -> HTTP:
        return HTTP("/ok?x=1", parse_statuses(statuses), lambda server: f"{server.name}.example:8080")

    def test_says(self) -> None:
        """A request for one page, and for the end of the connection behind it."""
        self.assertEqual(
            self.script().opening(SERVER),
            b"GET /ok?x=1 HTTP/1.1\r\nHost: a.example:8080\r\nUser-Agent: tcpsuite\r\nAccept: */*\r\n"
            b"Connection: close\r\n\r\n",
        )
        self.assertEqual(repr(self.script()), "<HTTP GET /ok?x=1>")

    def test_expected(self) -> None:
        """A status that is expected is well as soon as its line has ended, with words behind it or none."""
        self.well(self.script(), b"HTTP/1.1 200 OK\r\n")
        self.well(self.script(), b"HTTP/1.0 399\n")
        self.well(self.script("204,500-503"), b"HTTP/1.1 503 Service Unavailable\r\n")

    def test_interim(self) -> None:
        """Interim answers are passed over, with their fields; 101 is none, for behind it HTTP is over."""
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
        self.well(self.script(), b"HTTP/1.1 100 Continue\r\n\r\n" + hints + b"HTTP/1.1 200 OK\r\n")
        self.well(self.script(), b"HTTP/1.1 102\n\nHTTP/1.1 204\n")
        self.unwell(self.script(), hints + b"HTTP/1.1 503 No\r\n", "HTTP status 503")
        self.unwell(self.script(), hints + b"Link: </b.css>\r\n", "answered 'Link: </b.css>'")
        self.unwell(self.script(), b"HTTP/1.1 101 Switching Protocols\r\n", "HTTP status 101")
        self.unwell(self.script(), b"HTTP/1.1 099 x\r\n", "HTTP status 099")
        self.well(self.script("101"), b"HTTP/1.1 101 Switching Protocols\r\n")

    def test_unexpected(self) -> None:
        """Any other status is not, nor is what is no HTTP."""
        self.unwell(self.script(), b"HTTP/1.1 503 Service Unavailable\r\n", "HTTP status 503")
        self.unwell(self.script("204"), b"HTTP/1.1 200 OK\r\n", "HTTP status 200")
        for line in ("SSH-2.0-OpenSSH_9.2", "HTTP/2 200", "HTTP/1.1 2000", "HTTP/1.1 99 x", ""):
            self.unwell(self.script(), line.encode() + b"\r\n", f"answered '{line}'")

    def test_statuses(self) -> None:
        """Single ones and ranges, in any number; what is neither is said."""
        self.assertEqual(parse_statuses("200"), (range(200, 201),))
        self.assertEqual(parse_statuses("200, 301-302"), (range(200, 201), range(301, 303)))
        for wrong in ("", "ok", "200-", "2xx", "399-200", "200,,204", "700"):
            with self.assertRaisesRegex(ValueError, "is neither a status nor a range of them"):
                parse_statuses(wrong)


class SendExpectTests(ScriptCase):
    """Anything for anything."""

    def test_says(self) -> None:
        """What it was given."""
        script = SendExpect(b"stats\r\n", literally("END"))
        self.assertEqual(script.opening(SERVER), b"stats\r\n")
        self.assertEqual(repr(script), r"<SendExpect b'stats\r\n' b'END'>")

    def test_literal(self) -> None:
        """The bytes may come anywhere in the answer; signs of a regular expression mean themselves."""
        self.well(SendExpect(b"", literally(r"a.c\x00\r\n")), b"xxa.c\0\r\n")
        self.assertFalse(SendExpect(b"", literally("a.c")).heard(b"abc"))

    def test_regex(self) -> None:
        """A regular expression is looked for in bytes, its own escapes its own."""
        self.well(SendExpect(b"", parse_regex(r"(?i)^version [0-9]+\.\d\r\n")), b"VERSION 17.3\r\n")
        self.assertTrue(SendExpect(b"", parse_regex("größe")).heard("größe".encode()))
        with self.assertRaisesRegex(ValueError, "no regular expression: missing"):
            parse_regex("(")

    def test_escapes(self) -> None:
        """Each escape stands for its byte, all else for itself."""
        self.assertEqual(parse_bytes(r"a\r\n\t\0\\\x00\xfFn\\r"), b"a\r\n\t\0\\\0\xffn\\r")
        self.assertEqual(parse_bytes("größe\n"), "größe\n".encode())
        for wrong, said in ((r"\q", r"\\q"), ("\\", r"\\"), (r"\x1", r"\\x"), (r"\xg0", r"\\x")):
            with self.assertRaisesRegex(ValueError, rf"^{said} is no escape"):
                parse_bytes(wrong)

    @given(st.binary())
    def test_any_bytes(self, data: bytes) -> None:
        """Every byte can be written as an escape."""
        self.assertEqual(parse_bytes("".join(f"\\x{byte:02x}" for byte in data)), data)


class ShownTests(SynchronousTestCase):
    """Answers in errors."""

    def test_long(self) -> None:
        """Of a long answer the beginning is shown."""
        self.assertEqual(shown(b"x\0"), r"'x\x00'")
        self.assertEqual(shown(b"x" * (LONGEST_SHOWN + 1)), f"'{'x' * LONGEST_SHOWN}'…")

    @given(st.binary(max_size=60))
    def test_nothing_breaks_a_script(self, data: bytes) -> None:
        """Whatever comes is well, unwell, or not enough."""
        for script in (Redis(), Redis("x"), PostgreSQL(), SMTP(), HTTP("/", parse_statuses("200"), str)):
            try:
                self.assertIn(script.heard(data), (True, False))
            except Unwell as unwell:
                self.assertNotIn("\n", str(unwell))

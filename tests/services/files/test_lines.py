"""Files over lines."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from twisted.internet.error import ConnectionLost

from tcpsuite.core.connections import Reason
from tcpsuite.net.pagecache import BLOCK as STEP
from tcpsuite.services.files.lines import ENTRIES_AT_ONCE, FilesFactory
from tests.support.files import CONTENT, HOSTILE, SECRET, TOKEN, Client, FilesCase, left_behind


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class LinesCase(FilesCase):
    def setUp(self) -> None:
        super().setUp()
        os.utime(self.root / "file", (77, 77))
        self.factory = FilesFactory(self.share)
        self.client = Client(self, self.factory)

    def tearDown(self) -> None:
        self.client.lose()
        self.threads.work()
        super().tearDown()

    def ask(self, line: str) -> str:
        """The answer to one line."""
        return self.client.say(f"{line}\n".encode()).decode()

    def code(self, line: str) -> str:
        """The code of the error that answers one line."""
        word, code, *_ = self.ask(line).split(" ")
        self.assertEqual(word, "ERR", line)
        return code


class ReadTests(LinesCase):
    def test_get(self) -> None:
        """GET says how many bytes come and how many the file has, and then gives them."""
        self.assertEqual(self.client.say(b"GET file\n"), b"OK 1000 1000\n" + CONTENT)
        self.assertEqual(self.ask("get /file 5 10"), "OK 10 1000\n5678901234")
        self.assertEqual(self.ask("GET file 995"), "OK 5 1000\n56789")
        self.assertEqual(self.ask("GET sub/inner 1 100"), "OK 4 5\nnner")
        self.assertEqual(self.ask("GET file 3 0"), "OK 0 1000\n")

    def test_get_from_the_end(self) -> None:
        """Who has all of it already gets nothing more; behind the end there is nothing."""
        self.assertEqual(self.ask("GET file 1000"), "OK 0 1000\n")
        self.assertEqual(self.code("GET file 1001"), "range")

    def test_numbers(self) -> None:
        """A number is digits."""
        for line in (
            "GET file -1",
            "GET file x",
            "GET file 1 -1",
            "GET file 1e3",
            "GET file ٣",
            f"GET file {9**40}",
        ):
            self.assertEqual(self.code(line), "usage", line)

    def test_stat(self) -> None:
        """STAT says what there is."""
        self.assertEqual(self.ask("STAT file"), "OK file 1000 77\n")
        self.assertEqual(self.ask("STAT sub"), "OK directory\n")
        self.assertEqual(self.ask("STAT /"), "OK directory\n")
        os.utime(self.root / "file", (0, -77))
        self.assertEqual(self.ask("STAT file"), "OK file 1000 -77\n")

    def test_list(self) -> None:
        """LIST gives a line for each name, percent-encoded, and a . behind the last."""
        (self.root / os.fsdecode(b"a b\xff\n")).write_bytes(b"x")
        os.utime(self.root / os.fsdecode(b"a b\xff\n"), (5, 5))
        lines = self.ask("LIST").splitlines()
        self.assertEqual((lines[0], lines[-1]), ("OK", "."))
        self.assertEqual(sorted(lines[1:-1]), ["directory sub", "file 1 5 a%20b%FF%0A", "file 1000 77 file"])
        self.assertEqual(self.client.say(b"GET a%20b%FF%0A\n"), b"OK 1 1\nx")
        (self.root / "empty").mkdir()
        self.assertEqual(self.ask("LIST empty/"), "OK\n.\n")

    def test_not_there(self) -> None:
        """Whoever asks for many files that are not there is answered each time."""
        self.assertEqual(self.ask("STAT nothing\n" * 50).count("ERR not-found"), 50)
        self.assertEqual(self.ask("STAT sub"), "OK directory\n")
        self.assertEqual(self.ask("STAT ..\n" * 50).count("ERR bad-path"), 20)

    def test_kinds(self) -> None:
        """What only a file or only a directory has is not asked of the other."""
        self.assertEqual(self.code("LIST file"), "not-directory")
        for verb in ("GET", "SUM"):
            self.assertEqual(self.code(f"{verb} sub"), "is-directory")

    def test_sum(self) -> None:
        """SUM gives the SHA-256 and how many bytes it is of."""
        self.assertEqual(self.ask("SUM file"), f"OK {sha256(CONTENT)} 1000\n")

    def test_hostile(self) -> None:
        """Whatever leads out of the root is refused, for every verb, and the connection goes on."""
        for verb in ("GET", "STAT", "LIST", "SUM"):
            for path in HOSTILE:
                client = Client(self, self.factory)
                answer = client.say(f"{verb} {path}\nGET file 0 3\n".encode())
                self.assertTrue(answer.startswith(b"ERR "), (verb, path))
                self.assertTrue(answer.endswith(b"\nOK 3 1000\n012"), (verb, path))
                self.assertNotIn(SECRET, answer)
                client.lose()

    def test_pipelined(self) -> None:
        """Requests that come at once are answered in order, byte by byte too."""
        requests = b"GET file 0 2\nSTAT sub\nSUM file\nLIST sub\nBOGUS\nGET file 2 1\n"
        whole = self.client.say(requests)
        self.assertTrue(whole.startswith(b"OK 2 1000\n01OK directory\nOK " + sha256(CONTENT).encode()))
        self.assertTrue(whole.endswith(b"OK 1 1000\n2"))
        self.assertEqual(b"".join(self.client.say(bytes([byte])) for byte in requests), whole)

    def test_quit(self) -> None:
        """QUIT ends the connection behind all answers."""
        self.assertEqual(self.ask("QUIT"), "OK\n")
        self.assertTrue(self.client.transport.disconnecting)
        self.assertIs(self.client.record.reason, Reason.SERVICE_CLOSED)

    def test_repr(self) -> None:
        """A factory says what it serves."""
        self.assertEqual(repr(self.factory), f"<FilesFactory <Root {self.root}>>")


class NoListingTests(LinesCase):
    listing = False
    uploads = False

    def test_forbidden(self) -> None:
        """Where directories are not listed, files are found all the same."""
        self.assertEqual(self.code("LIST"), "forbidden")
        self.assertEqual(self.ask("STAT sub/inner").split()[:3], ["OK", "file", "5"])

    def test_nothing_can_be_put(self) -> None:
        """Where nothing can be put, PUT ends the connection: what follows it is no request."""
        answer = self.client.say(f"PUT new 7 {sha256(b'')}\nSTAT /\nSTAT /\n".encode())
        self.assertEqual(answer, b"ERR disabled nothing can be put here\n")
        self.assertTrue(self.client.transport.disconnecting)


class FlowTests(LinesCase):
    @property
    def producer(self) -> Any:
        """What the transport would pause and resume."""
        return self.client.transport.producer

    def test_one_step_at_a_time(self) -> None:
        """While the client does not read, one step of the file is in memory, and no more."""
        large = os.urandom(3 * STEP + 1)
        (self.root / "large").write_bytes(large)
        self.client.protocol.dataReceived(b"GET large\nSTAT /\n")
        self.producer.pauseProducing()
        sent = self.client.answer()
        self.assertLess(len(sent), STEP + 100)
        for _ in range(5):
            self.producer.resumeProducing()
            self.producer.pauseProducing()
            sent += self.client.answer()
        self.producer.resumeProducing()
        self.assertEqual((sent + self.client.answer()).partition(b"\n")[2], large + b"OK directory\n")

    def test_many_names(self) -> None:
        """A large directory comes in pieces, as the client takes them."""
        names = {f"n{number}" for number in range(2 * ENTRIES_AT_ONCE + 1)}
        for name in names:
            (self.root / "sub" / name).touch()
        self.client.protocol.dataReceived(b"LIST sub\n")
        self.producer.pauseProducing()
        first = self.client.answer()
        # One name among them all is not shown.
        self.assertIn(first.count(b"\n"), {ENTRIES_AT_ONCE, ENTRIES_AT_ONCE + 1})
        self.producer.resumeProducing()
        lines = (first + self.client.answer()).decode().splitlines()
        self.assertEqual({line.split()[-1] for line in lines[1:-1]}, names | {"inner"})

    def test_many_names_that_are_not_shown(self) -> None:
        """Looking at what is not shown takes turns, too."""
        for number in range(3 * ENTRIES_AT_ONCE):
            (self.root / "sub" / f"link{number}").symlink_to("inner")
        self.client.protocol.dataReceived(b"LIST sub\n")
        self.assertNotIn(b"\n.\n", self.client.transport.value())
        turns = 0
        while b"\n.\n" not in self.client.transport.value():
            turns += 1
            self.clock.calls.pop(0).func()
        self.assertEqual(turns, 3 + 1)
        self.assertEqual(len(self.client.answer().splitlines()), 3)

    def test_client_leaves(self) -> None:
        """A client that leaves in the middle leaves no descriptor open."""
        (self.root / "large").write_bytes(bytes(3 * STEP))
        before = len(os.listdir("/proc/self/fd"))
        for line in (b"GET large\n", b"LIST\n"):
            client = Client(self, self.factory)
            client.protocol.dataReceived(line)
            client.lose(ConnectionLost())
            self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_shrunk(self) -> None:
        """A file that becomes shorter while it is sent ends the connection."""
        (self.root / "large").write_bytes(bytes(3 * STEP))
        self.client.protocol.dataReceived(b"GET large\n")
        os.truncate(self.root / "large", STEP)
        self.client.answer()
        self.assertTrue(self.client.transport.disconnected)
        self.assertIs(self.client.record.reason, Reason.SERVICE_CLOSED)


class PutTests(LinesCase):
    def setUp(self) -> None:
        super().setUp()
        self.connect()

    def connect(self) -> None:
        self.client = Client(self, self.factory)
        self.assertEqual(self.ask("LOGIN ada open sesame"), "OK ada\n")

    def put(self, body: bytes, path: str = "new", digest: str = "") -> bytes:
        """The answer to a PUT and its body."""
        return self.client.say(f"PUT {path} {len(body)} {digest or sha256(body)}\n".encode() + body)

    def test_put(self) -> None:
        """What was put is there, and the connection goes on behind it."""
        self.assertEqual(self.put(b"STAT /\n"), b"OK created\n")
        self.assertEqual((self.root / "new").read_bytes(), b"STAT /\n")
        self.assertEqual(self.put(b"", path="/sub/n%20w"), b"OK created\n")
        self.assertEqual(self.put(b"again", digest=sha256(b"again").upper()), b"OK replaced\n")
        self.assertEqual(self.client.record.user, "ada")

    def test_byte_by_byte(self) -> None:
        """Byte by byte it is the same, with a request behind it."""
        body = os.urandom(99)
        request = f"PUT new 99 {sha256(body)}\n".encode() + body + b"STAT sub\n"
        answers = b"".join(self.client.say(bytes([byte])) for byte in request)
        self.assertEqual(answers, b"OK created\nOK directory\n")

    def test_token(self) -> None:
        """Who bears the token needs no user."""
        self.client = Client(self, self.factory)
        self.assertEqual(self.ask(f"TOKEN {TOKEN}"), "OK\n")
        self.assertEqual(self.put(b"x"), b"OK created\n")

    def test_digest_that_does_not_match(self) -> None:
        """Nothing is stored, and the connection goes on: all of the body was read."""
        self.assertTrue(self.put(b"hello", digest=sha256(b"hallo")).startswith(b"ERR digest "))
        self.assertFalse((self.root / "new").exists())
        self.assertEqual(self.ask("STAT sub"), "OK directory\n")

    def test_refused(self) -> None:
        """A PUT that is refused at its line ends the connection, and its body is no requests."""
        good = sha256(b"STAT /\n")
        for line, code in {
            f"PUT new 10001 {good}": "too-large",
            f"PUT new x {good}": "usage",
            f"PUT new -7 {good}": "usage",
            "PUT new 7 x": "usage",
            "PUT new 7": "usage",
            f"PUT sub 7 {good}": "is-directory",
            f"PUT sub/ 7 {good}": "is-directory",
            f"PUT nothing/new 7 {good}": "not-found",
            f"PUT link 7 {good}": "forbidden",
            f"PUT ../new 7 {good}": "bad-path",
            f"PUT fifo 7 {good}": "forbidden",
        }.items():
            self.connect()
            answer = self.client.say(f"{line}\nSTAT /\nSTAT /\n".encode())
            self.assertTrue(answer.startswith(f"ERR {code} ".encode()), (line, answer))
            self.assertEqual(answer.count(b"\n"), 1, line)
            self.assertTrue(self.client.transport.disconnecting)

    def test_without_a_right(self) -> None:
        """Who has not logged in, or tried and failed, puts nothing; a failed login can be tried again."""
        self.client = Client(self, self.factory)
        self.assertEqual(self.code("LOGIN ada wrong"), "login")
        self.assertEqual(self.code("TOKEN wrong"), "login")
        self.assertTrue(self.put(b"x").startswith(b"ERR login "))
        self.assertTrue(self.client.transport.disconnecting)

    def test_far_away_in_the_open(self) -> None:
        """A password, and a token, that others could have read is not taken."""
        self.client = Client(self, self.factory, host="192.0.2.1")
        self.assertEqual(self.code("LOGIN ada open sesame"), "plaintext")
        self.assertEqual(self.code(f"TOKEN {TOKEN}"), "plaintext")

    def test_cut_at_every_byte(self) -> None:
        """Cut at any byte, by a FIN or a reset, nothing is left of it."""
        request = f"PUT new 5 {sha256(b'hello')}\n".encode() + b"hello"
        for end in range(0, len(request), 3):
            for half_close in (True, False):
                self.connect()
                self.client.protocol.dataReceived(request[:end])
                if half_close:
                    self.client.protocol.readConnectionLost()
                self.client.lose(ConnectionLost())
                self.assertFalse((self.root / "new").exists())
                self.assertEqual(left_behind(self.root), [])

    def test_cut_while_it_is_written(self) -> None:
        """Cut while a thread writes, it is removed when the thread is done, and not before."""
        self.threads.wait = True
        self.client.protocol.dataReceived(f"PUT new 5 {sha256(b'hello')}\nhell".encode())
        self.client.lose()
        self.assertEqual(len(left_behind(self.root)), 1)
        self.threads.work()
        self.assertEqual(left_behind(self.root), [])


class SumTests(LinesCase):
    def test_client_leaves(self) -> None:
        """A client that leaves stops the hashing, and the file is closed when it has stopped."""
        before = len(os.listdir("/proc/self/fd"))
        self.threads.wait = True
        self.client.protocol.dataReceived(b"SUM file\n")
        self.client.lose(ConnectionLost())
        self.assertEqual(len(os.listdir("/proc/self/fd")), before + 1)
        self.threads.work()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        self.assertIn("known=0", repr(self.share.sums))

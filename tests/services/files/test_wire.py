"""The file service as it is built, on real sockets and with real threads."""

from __future__ import annotations

import hashlib
import os
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater

from tcpsuite.errors import StartError
from tcpsuite.options import DirectoryPath, OptionError, Secret
from tcpsuite.services.files import FilesOptions, build, example
from tcpsuite.services.files.http import FilesSite
from tcpsuite.services.files.lines import FilesFactory
from tcpsuite.services.files.service import LISTERS
from tcpsuite.testing.contexts import FakeContext
from tests.support.files import HOSTILE, SECRET, TOKEN, left_behind, make_tree
from tests.support.served import dial, http, served, until

if TYPE_CHECKING:
    from pathlib import Path

LARGE = os.urandom(5_000_000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with a large file in it."""
    root = make_tree(tmp_path)
    (root / "large").write_bytes(LARGE)
    return root


@pytest_twisted.ensureDeferred
async def test_download(root: Path) -> None:
    """A large file arrives whole over HTTP, and its parts where they belong."""
    async with served(root, "http") as files:
        head, _, body = (await files.ask(http("GET", "/large"))).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert body == LARGE
        part = await files.ask(http("GET", "/large", "Range: bytes=1000000-"))
        assert part.partition(b"\r\n\r\n")[2] == LARGE[1_000_000:]
        assert (await files.ask(http("GET", "/"))).count(b'href="large"') == 1
        assert [record.bytes_out > 0 for record in files.ended] == [True] * 3


@pytest_twisted.ensureDeferred
async def test_upload(root: Path) -> None:
    """A large file that is put over HTTP is there, byte by byte the same."""
    async with served(root, "http") as files:
        put = http("PUT", "/new", f"Authorization: Bearer {TOKEN}", f"Content-Length: {len(LARGE)}")
        assert (await files.ask(put + LARGE)).startswith(b"HTTP/1.1 201 ")
        assert (root / "new").read_bytes() == LARGE
        assert left_behind(root) == []
        # What an earlier process left was removed when the port opened.
        await until(lambda: not (root / ".tcpsuite-upload-0123456789abcdef").exists())


@pytest_twisted.ensureDeferred
async def test_refused_upload(root: Path) -> None:
    """A client that sends all of a refused body reads why, not a reset."""
    async with served(root, "http") as files:
        put = http("PUT", "/new", f"Content-Length: {len(LARGE)}")
        assert (await files.ask(put + LARGE)).startswith(b"HTTP/1.1 401 ")
    async with served(root, "lines") as files:
        put = f"PUT new {len(LARGE)} {hashlib.sha256(LARGE).hexdigest()}\n".encode()
        assert await files.ask(put + LARGE) == b"ERR login log in first\n"
    assert not (root / "new").exists()


@pytest_twisted.ensureDeferred
async def test_reset_upload(root: Path) -> None:
    """An upload whose connection is reset leaves nothing."""
    async with served(root, "http") as files:
        client = await dial(files)
        put = http("PUT", "/new", f"Authorization: Bearer {TOKEN}", f"Content-Length: {len(LARGE)}")
        client.transport.write(put + LARGE[:1_000_000])
        await until(lambda: left_behind(root))
        client.transport.abortConnection()
        await until(lambda: files.ended and not left_behind(root))
        assert not (root / "new").exists()


@pytest_twisted.ensureDeferred
async def test_lines(root: Path) -> None:
    """Everything that lines can do, in one connection, without waiting for an answer."""
    async with served(root, "lines") as files:
        digest = hashlib.sha256(LARGE).hexdigest()
        requests = f"TOKEN {TOKEN}\nPUT new {len(LARGE)} {digest}\n".encode() + LARGE
        answer = await files.ask(requests + b"SUM new\nGET new\nSTAT sub\nQUIT\n")
        before = f"OK\nOK created\nOK {digest} {len(LARGE)}\nOK {len(LARGE)} {len(LARGE)}\n".encode()
        assert answer == before + LARGE + b"OK directory\nOK\n"
        assert (root / "new").read_bytes() == LARGE


@pytest_twisted.ensureDeferred
async def test_sum_of_one_who_left(root: Path) -> None:
    """A client that leaves while its file is read stops the reading."""
    os.truncate(root / "large", 1 << 40)
    async with served(root, "lines") as files:
        client = await dial(files)
        client.transport.write(b"SUM large\n")
        sums = files.factory.share.sums
        await until(lambda: sums.reading)
        client.transport.abortConnection()
        await until(lambda: not sums.reading)
        assert repr(sums) == "<Sums known=0 reading=0 waiting=0>"


@pytest_twisted.ensureDeferred
async def test_slow_reader(root: Path) -> None:
    """A client that does not read holds one step of the file in memory, and gets all of it later."""
    async with served(root, "http") as files:
        client = await dial(files)
        client.transport.pauseProducing()
        client.transport.write(http("GET", "/large"))
        await until(lambda: files.factory.channels)
        await deferLater(reactor, 0.2)
        (channel,) = files.factory.channels
        assert len(channel.transport.dataBuffer) + channel.transport._tempDataLen < 300_000
        client.transport.resumeProducing()
        await until(lambda: client.got.endswith(LARGE[-100:]))
        assert client.got.endswith(LARGE)


@pytest_twisted.ensureDeferred
async def test_hostile(root: Path) -> None:
    """No path leads out of the root, whatever it speaks."""
    async with served(root, "http", uploads=False) as files:
        for path in HOSTILE:
            answer = await files.ask(http("GET", f"/{path}"))
            assert answer.startswith(b"HTTP/1.1 4"), path
            assert SECRET not in answer
    async with served(root, "lines", uploads=False) as files:
        answer = await files.ask("".join(f"STAT {path}\nSTAT /\n" for path in HOSTILE).encode() + b"QUIT\n")
        lines = answer.splitlines()
        assert len(lines) == 2 * len(HOSTILE) + 1
        assert all(line.startswith(b"ERR ") for line in lines[:-1:2])
        assert set(lines[1:-1:2]) == {b"OK directory"}


def test_build(tmp_path: Path) -> None:
    """The protocol that the options name is the one that is built."""
    for protocol, kind in (("http", FilesSite), ("lines", FilesFactory)):
        factory: Any = build(
            FilesOptions(root=DirectoryPath(str(tmp_path)), protocol=protocol), FakeContext(reactor)
        )
        assert isinstance(factory, kind)
        factory.share.root.close()


@pytest_twisted.ensureDeferred
async def test_threads(tmp_path: Path) -> None:
    """A slow disk does not take all threads of the process."""
    factory: Any = build(FilesOptions(root=DirectoryPath(str(tmp_path))), FakeContext(reactor))
    go_on = Event()
    started: list[int] = []

    def work(number: int) -> None:
        started.append(number)
        go_on.wait(20)

    jobs = [factory.share.in_thread(work, number) for number in range(LISTERS + 2)]
    await until(lambda: len(started) == LISTERS)
    await deferLater(reactor, 0.05)
    assert len(started) == LISTERS
    go_on.set()
    await gatherResults(jobs)
    assert sorted(started) == list(range(LISTERS + 2))
    factory.share.root.close()


def test_no_root(tmp_path: Path) -> None:
    """A root that is not there is named."""
    missing = str(tmp_path / "missing")
    with pytest.raises(StartError, match=missing):
        build(FilesOptions(root=DirectoryPath(missing)), FakeContext(reactor))


def test_token() -> None:
    """A token is long, or there is none; it is not repeated when it is refused."""
    FilesOptions(root=DirectoryPath("/"), token=Secret(""))
    FilesOptions(root=DirectoryPath("/"), token=Secret("x" * 16))
    with pytest.raises(OptionError) as caught:
        FilesOptions(root=DirectoryPath("/"), token=Secret("x" * 15))
    assert "xxx" not in str(caught.value)


def test_example() -> None:
    """Each protocol is tried with a client that speaks it."""
    assert example(FilesOptions(root=DirectoryPath("/")), "127.0.0.1", 7080) == "curl http://127.0.0.1:7080/"
    lines = FilesOptions(root=DirectoryPath("/"), protocol="lines")
    assert example(lines, "127.0.0.1", 7080) == "echo LIST | nc -N 127.0.0.1 7080"

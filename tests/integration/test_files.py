"""The file service, to curl and to a plain socket."""

from __future__ import annotations

import email.policy
import hashlib
import os
import socket
from signal import SIGKILL
from typing import TYPE_CHECKING

import pytest

from tests.integration.support.programs import Program, need, run, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.support.suites import Suite

FILES = """
[listener.web]
endpoint = "tcp:<web>:interface=127.0.0.1"
service = "files"
root = "root"

[listener.lines]
endpoint = "tcp:<lines>:interface=127.0.0.1"
service = "files"
protocol = "lines"
root = "root"
"""

MEGABYTE = 1_000_000
SECRET = b"what nobody may read"

HOSTILE = [
    "../secret",
    "../../../../../../../../etc/passwd",
    "sub/../../secret",
    "%2e%2e/secret",
    "..%2fsecret",
    "%2e%2e%2fsecret",
    "sub%2f..%2f..%2fsecret",
    ".%2e/secret",
    "./../secret",
    "....//secret",
    "..%5csecret",
    "..;/secret",
    "%252e%252e/secret",
    "%c0%ae%c0%ae/secret",
    "file%00",
    "file%00.txt",
    "%00",
    "link",
    "links/secret",
    "loop/loop/loop",
    "fifo",
    "socket",
    "a" * 300,
    "a/" * 1500,
    "/etc/passwd",
    "//etc/passwd",
    "file/",
    "file/../file/../../secret",
    "%ff%fe",
    "%zz",
]
"""Paths that lead out of the root, or to what is no file, or nowhere; a fifo would hold who opens it."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a file and a folder in it, and traps; the secret is beside it."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "file").write_bytes(b"0123456789" * 100)
    (tmp_path / "secret").write_bytes(SECRET)
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "links").symlink_to(tmp_path)
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as trap:
        trap.bind(str(root / "socket"))
    return root


@pytest.fixture
def files(root: Path, serve: Callable[..., Suite]) -> Suite:
    """The file service, over HTTP and over lines."""
    return serve(FILES)


def test_resume(root: Path, files: Suite, tmp_path: Path) -> None:
    """A download of 200 MB that is cut in the middle is resumed by curl -C -, and is whole."""
    need("curl")
    block = os.urandom(MEGABYTE)
    digest = hashlib.sha256()
    with (root / "large").open("wb") as large:
        for number in range(200):
            # No block like another, so that a resumption at the wrong place shows.
            piece = number.to_bytes(4, "big") + block[4:]
            large.write(piece)
            digest.update(piece)
    url = f"http://127.0.0.1:{files.ports['web']}/large"
    copy = tmp_path / "copy"

    log = tmp_path / "curl.log"
    with Program("curl", "--silent", "--limit-rate", "100M", "--output", copy, url, log=log) as curl:
        wait_until(lambda: copy.stat().st_size > 40 * MEGABYTE, "curl had a part")
        curl.end(SIGKILL)
    part = copy.stat().st_size
    assert 40 * MEGABYTE < part < 190 * MEGABYTE

    told = run(
        "curl", "--silent", "--fail", "-C", "-", "--output", copy, "-w", "%{http_code} %{size_download}", url
    )
    assert told.stdout == f"206 {200 * MEGABYTE - part}"
    with copy.open("rb") as whole:
        assert hashlib.file_digest(whole, "sha256").digest() == digest.digest()
    files.finish()


def test_two_ranges(files: Suite) -> None:
    """A request for two ranges is answered with both, each with its place."""
    need("curl")
    url = f"http://127.0.0.1:{files.ports['web']}/file"
    answer = run("curl", "--silent", "--include", "--range", "3-7,-5", url).stdout
    message = email.message_from_string(answer.partition("\n")[2], policy=email.policy.HTTP)
    assert answer.startswith("HTTP/1.1 206 ")
    assert [(part["Content-Range"], part.get_content()) for part in message.iter_parts()] == [
        ("bytes 3-7/1000", b"34567"),
        ("bytes 995-999/1000", b"56789"),
    ]
    files.finish()


@pytest.mark.parametrize("client", ["curl", "wget"])
def test_clients(root: Path, files: Suite, tmp_path: Path, client: str) -> None:
    """curl and wget each get a file, and see in the listing what they can ask for."""
    need(client)
    base = f"http://127.0.0.1:{files.ports['web']}"
    quiet = {"curl": ("curl", "--silent", "--fail"), "wget": ("wget", "--quiet", "--output-document=-")}[
        client
    ]
    assert run(*quiet, f"{base}/file").stdout == (root / "file").read_text()
    listing = run(*quiet, f"{base}/").stdout
    assert 'href="file"' in listing
    assert 'href="sub/"' in listing
    files.finish()


def test_hostile_paths_over_http(files: Suite) -> None:
    """No path leads out of the root over HTTP, and each is answered."""
    need("curl")
    for path in HOSTILE:
        url = f"http://127.0.0.1:{files.ports['web']}/{path}"
        done = run("curl", "--silent", "--max-time", "20", "--path-as-is", "-w", "\n%{http_code}", url)
        body, _, status = done.stdout.rpartition("\n")
        assert 400 <= int(status) < 500, (path, status)
        assert SECRET.decode() not in body
        assert "root:" not in body
    files.finish()


def test_hostile_paths_over_lines(files: Suite) -> None:
    """No path leads out of the root over lines; each is answered with an error and the connection goes on."""
    for verb in ("GET", "STAT", "SUM", "LIST"):
        for path in HOSTILE:
            with (
                socket.create_connection(("127.0.0.1", files.ports["lines"]), timeout=20) as connection,
                connection.makefile("rb") as reader,
            ):
                connection.sendall(f"{verb} {path}\r\nGET file 0 3\r\n".encode())
                assert reader.readline().startswith(b"ERR "), (verb, path)
                assert reader.readline().startswith(b"OK "), (verb, path)
                assert reader.read(3) == b"012"
    files.finish()

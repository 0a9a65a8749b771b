"""Uploads, by curl and over lines."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from signal import SIGKILL
from typing import TYPE_CHECKING

import pytest

from tcpsuite.net.auth import set_password
from tests.integration.support.programs import Program, need, run, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.support.suites import Suite

UPLOADS = """
[listener.web]
endpoint = "tcp:<web>:interface=127.0.0.1"
service = "files"
root = "root"
uploads = true
max_upload = "20MB"
token = "a token of some length"

[listener.lines]
endpoint = "tcp:<lines>:interface=127.0.0.1"
service = "files"
protocol = "lines"
root = "root"
uploads = true

[auth]
passwords = "passwords"
"""

TOKEN = ("-H", "Authorization: Bearer a token of some length")
STATUS = ("--silent", "--output", os.devnull, "-w", "%{http_code}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty root; and a password file, beside it."""
    set_password(str(tmp_path / "passwords"), "alice", "secret")
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def files(root: Path, serve: Callable[..., Suite]) -> Suite:
    """The file service, which takes uploads."""
    need("curl")
    return serve(UPLOADS)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of 10 MB."""
    large = tmp_path / "large"
    large.write_bytes(os.urandom(10_000_000))
    return large


def digest_header(data: bytes) -> tuple[str, str]:
    """What announces the digest of an upload."""
    return "-H", f"Repr-Digest: sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


@pytest.mark.parametrize("who", [TOKEN, ("--user", "alice:secret")], ids=["token", "user"])
def test_put(root: Path, files: Suite, large: Path, who: tuple[str, str]) -> None:
    """curl -T puts a file for who bears the token and for who logs in, and replaces it the next time."""
    url = f"http://127.0.0.1:{files.ports['web']}/large"
    digest = digest_header(large.read_bytes())
    assert run("curl", *STATUS, *who, *digest, "-T", large, url).stdout == "201"
    assert (root / "large").read_bytes() == large.read_bytes()
    large.write_text("another")
    assert run("curl", *STATUS, *who, "-T", large, url).stdout == "204"
    assert (root / "large").read_text() == "another"
    files.finish()


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ((), "401"),
        (("-H", "Authorization: Bearer another"), "401"),
        (("--user", "alice:wrong"), "401"),
        ((*TOKEN, *digest_header(b"another")), "422"),
        ((*TOKEN, "-H", "Expect:", "-H", "Content-Length: 20000001"), "413"),
    ],
    ids=["nobody", "wrong token", "wrong password", "wrong digest", "too large"],
)
def test_refused(root: Path, files: Suite, large: Path, options: tuple[str, ...], status: str) -> None:
    """An upload that is refused, or does not match its digest, leaves nothing."""
    url = f"http://127.0.0.1:{files.ports['web']}/large"
    assert run("curl", *STATUS, *options, "-T", large, url, check=False).stdout == status
    assert list(root.iterdir()) == []
    files.finish()


def test_cut(root: Path, files: Suite, large: Path, tmp_path: Path) -> None:
    """An upload that is cut leaves nothing, not even what it was written to."""
    url = f"http://127.0.0.1:{files.ports['web']}/large"
    slowly = ("curl", "--silent", *TOKEN, "--limit-rate", "5M", "-T", large, url)
    with Program(*slowly, log=tmp_path / "curl.log") as curl:
        wait_until(lambda: any(each.stat().st_size for each in root.iterdir()), "the upload had begun")
        curl.end(SIGKILL)
    wait_until(lambda: list(root.iterdir()) == [], "nothing was left")
    files.finish()


def test_lines(root: Path, files: Suite, large: Path) -> None:
    """PUT over lines stores what has the announced digest, and nothing else; the connection goes on."""
    data = large.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    with (
        socket.create_connection(("127.0.0.1", files.ports["lines"]), timeout=30) as connection,
        connection.makefile("rb") as reader,
    ):
        connection.sendall(b"LOGIN alice secret\r\n")
        assert reader.readline().startswith(b"OK")
        connection.sendall(f"PUT wrong {len(data)} {'0' * 64}\r\n".encode() + data)
        assert reader.readline().startswith(b"ERR digest")
        connection.sendall(f"PUT right {len(data)} {digest}\r\n".encode() + data)
        assert reader.readline().startswith(b"OK")
    assert [each.name for each in root.iterdir()] == ["right"]
    assert (root / "right").read_bytes() == data
    files.finish()

"""Files over lines, for plain sockets.  The grammar is in ``docs/files.md``."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

from twisted.internet.protocol import Factory, connectionDone
from zope.interface import implementer

from tcpsuite.core.connections import Reason
from tcpsuite.core.paths import parse_path, quote_name
from tcpsuite.core.ranges import Span
from tcpsuite.errors import ProtocolError
from tcpsuite.interfaces import IRefusing, IShrinkable
from tcpsuite.net.pagecache import blocks
from tcpsuite.net.sendfile import SMALL, FileSending, sends_files
from tcpsuite.services.lines import Command, LineProtocol
from tcpsuite.services.logins import Logins
from tcpsuite.services.over_limit import refusal_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator, Mapping

    from twisted.internet.interfaces import IAddress
    from twisted.python.failure import Failure

    from tcpsuite.interfaces import Verdict
    from tcpsuite.net.pagecache import Extent
    from tcpsuite.services.files.root import Entry, Opened
    from tcpsuite.services.files.share import Share

ENTRIES_AT_ONCE = 256
"""Names of a directory that are looked at before anything else has its turn."""

_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class FilesProtocol(LineProtocol):
    """One connection."""

    # Whoever compares two trees asks for many files that are not there.
    answers = frozenset({"not-found"})

    def __init__(self, share: Share) -> None:
        super().__init__(share.reactor, share.limits, share.patience)
        self._share = share
        self._logins = Logins(share.limits)
        self._may_put = False

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone, and nobody is logged in on it any more."""
        super().connectionLost(reason)
        self._logins.leave()

    async def get_file(self, path: str, offset: str = "0", length: str = "") -> None:
        """The bytes of a file, or a part of it."""
        with self._open_file(path) as opened:
            start = _number(offset)
            if start > opened.size:
                raise ProtocolError("range", f"the file has {opened.size} bytes")
            stop = min(opened.size, start + _number(length)) if length else opened.size
            self.answer(f"OK {stop - start} {opened.size}")
            await self._announced(self._send_file(opened.extent(Span(start, stop))))

    async def look(self, path: str) -> str:
        """What there is, how large, and when it was modified."""
        with self._share.root.open(parse_path(path.encode())) as opened:
            if opened.directory:
                return "directory"
            return f"file {opened.size} {opened.modified}"

    async def list_names(self, path: str = "") -> None:
        """What a directory holds."""
        if not self._share.listing:
            raise ProtocolError("forbidden", "directories are not listed here")
        with self._share.root.open(parse_path(path.encode())) as opened:
            if not opened.directory:
                raise ProtocolError("not-directory", "it is a file")
            self.answer("OK")
            await self._announced(self.stream(_listing(opened)))

    async def digest(self, path: str) -> str:
        """The SHA-256 of a file."""
        with self._open_file(path) as opened:
            return f"{await self._share.sums.digest(opened)} {opened.size}"

    async def put_file(self, path: str, length: str, sha256: str) -> str:
        """Store the bytes that follow the line."""
        if not self._share.rights.enabled:
            raise ProtocolError("disabled", "nothing can be put here")
        if not self._may_put:
            raise ProtocolError("login", "log in first")
        size = _number(length)
        if not _SHA256.fullmatch(sha256):
            raise ProtocolError("usage", "a SHA-256 is 64 hexadecimal digits")
        self._share.rights.check_size(size)
        upload = self._share.uploads.begin(parse_path(path.encode()))
        body = self.receive(size)
        new = await self._share.uploads.store(upload, body, bytes.fromhex(sha256))
        return "created" if new else "replaced"

    async def log_in(self, user: str, password: str) -> str:
        """Say who you are, to put files.  The password is the rest of the line."""
        await self._share.rights.login(user, password, self.connection, self._logins)
        self._may_put = True
        return self.connection.user

    async def show_token(self, token: str) -> str:
        """Show the token, to put files."""
        self._share.rights.check_token(token, self.connection)
        self._may_put = True
        return ""

    async def leave(self) -> None:
        """Say goodbye."""
        self.answer("OK")
        self.close(Reason.SERVICE_CLOSED, "QUIT")

    def _open_file(self, path: str) -> Opened:
        opened = self._share.root.open(parse_path(path.encode()))
        if opened.directory:
            opened.close()
            raise ProtocolError("is-directory", "it is a directory")
        return opened

    async def _send_file(self, extent: Extent) -> None:
        cache = self._share.cache
        if extent.stop - extent.start > SMALL and sends_files(self.transport):
            await self.lend(FileSending([extent], cache).send_to)
        else:
            await self.stream(blocks([extent], cache))

    async def _announced(self, sending: Awaitable[None]) -> None:
        """Send what was announced, or end the connection: there is no other way to take an OK back."""
        try:
            await sending
        except (OSError, ProtocolError) as error:
            self.connection.because(Reason.SERVICE_CLOSED, str(error))
            self.transport.abortConnection()

    commands: ClassVar[Mapping[str, Command]] = {
        "GET": Command(get_file, "GET path [offset [length]]"),
        "STAT": Command(look, "STAT path"),
        "LIST": Command(list_names, "LIST [path]"),
        "SUM": Command(digest, "SUM path"),
        "PUT": Command(put_file, "PUT path length sha256", body=True),
        "LOGIN": Command(log_in, "LOGIN user password", rest=True),
        "TOKEN": Command(show_token, "TOKEN token", rest=True),
        "QUIT": Command(leave, "QUIT"),
    }


@implementer(IRefusing, IShrinkable)
class FilesFactory(Factory):
    """The file service over lines, on any endpoint."""

    noisy = False

    def __init__(self, share: Share) -> None:
        self.share = share

    def __repr__(self) -> str:
        return f"<FilesFactory {self.share.root!r}>"

    def startFactory(self) -> None:
        """A port was opened."""
        self.share.start()

    def stopFactory(self) -> None:
        """The last port was closed."""
        self.share.stop()

    def buildProtocol(self, addr: IAddress | None) -> FilesProtocol:
        """A connection was accepted."""
        return FilesProtocol(self.share)

    def last_words(self, verdict: Verdict) -> bytes:
        """What a client is told whom a limit refuses."""
        return refusal_line(verdict)

    def shrink(self) -> None:
        """Memory is short: forget digests."""
        self.share.sums.shrink()


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ProtocolError("usage", "a number has 1 to 18 digits")
    return int(text)


def _listing(opened: Opened) -> Generator[bytes, None, None]:
    """The lines that list a directory, and the one that ends them; a block for each so many names, though it
    may be empty.
    """
    entries = opened.entries()
    while some := list(islice(entries, ENTRIES_AT_ONCE)):
        yield b"".join(_line(entry) for entry in some if entry is not None)
    yield b".\n"


def _line(entry: Entry) -> bytes:
    name = quote_name(entry.name)
    kind = "directory" if entry.directory else f"file {entry.size} {entry.modified}"
    return f"{kind} {name}\n".encode()

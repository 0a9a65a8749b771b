"""What the file service is configured with, and how it is built."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from attrs import NOTHING, frozen
from twisted.internet.defer import DeferredSemaphore
from twisted.internet.threads import deferToThreadPool

from tcpsuite.net.pagecache import PageCache
from tcpsuite.options import DirectoryPath, Duration, Secret, Size, at_least, between, option, token_length
from tcpsuite.services.files.http import FilesSite
from tcpsuite.services.files.lines import FilesFactory
from tcpsuite.services.files.root import Root
from tcpsuite.services.files.share import Share
from tcpsuite.services.files.sums import Sums
from tcpsuite.services.files.upload import UploadRights, Uploads
from tcpsuite.services.patience import (
    FIRST_BYTE,
    FIRST_BYTE_TIMEOUT,
    IDLE,
    IDLE_TIMEOUT,
    MAX_REQUESTS_IN_HAND,
    READ,
    READ_TIMEOUT,
    REQUESTS_IN_HAND,
    WRITE,
    WRITE_TIMEOUT,
    Patience,
)

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocolFactory

    from tcpsuite.interfaces import IServiceContext

LISTERS = 1
"""Threads that may list directories for one listener, beside those that write uploads, close them, hash, and
read ahead: the pool has ten, for everyone, and making a page is work for one core anyway."""


@frozen
class FilesOptions:
    """What a listener with ``service = "files"`` may say."""

    root: DirectoryPath = option(NOTHING, "The directory that is served; nothing outside of it ever is.")
    protocol: str = option(
        "http", "How clients speak to it: http for curl and browsers, or lines.", choices=("http", "lines")
    )
    listing: bool = option(True, "Whether clients may see what a directory holds.")
    uploads: bool = option(False, "Whether users who log in, and those who bear the token, may put files.")
    max_upload: Size = option(Size(2**30), "The largest file that may be put.", check=at_least(1, "bytes"))
    token: Secret = option(
        Secret(""),
        "What a client may bear instead of logging in, to put files; empty for none.",
        check=token_length,
    )
    first_byte_timeout: Duration = option(FIRST_BYTE_TIMEOUT, FIRST_BYTE, check=between(0, 86_400, "seconds"))
    read_timeout: Duration = option(READ_TIMEOUT, READ, check=between(0, 86_400, "seconds"))
    write_timeout: Duration = option(WRITE_TIMEOUT, WRITE, check=between(0, 86_400, "seconds"))
    idle_timeout: Duration = option(IDLE_TIMEOUT, IDLE, check=between(0, 31_536_000, "seconds"))
    max_requests_in_hand: int = option(MAX_REQUESTS_IN_HAND, REQUESTS_IN_HAND, check=at_least(0))


def build(options: FilesOptions, context: IServiceContext) -> IProtocolFactory:
    """The factory that serves ``options.root``.

    :raises StartError: when the root is not there, or cannot be read.
    """
    rights = UploadRights(
        enabled=options.uploads,
        max_size=options.max_upload,
        token=options.token,
        authenticator=context.authenticator() if options.uploads else None,
        allow_plaintext=context.allow_plaintext,
    )
    reactor = context.reactor
    pool = partial(deferToThreadPool, reactor, reactor.getThreadPool())
    in_thread = partial(DeferredSemaphore(LISTERS).run, pool)
    root = Root(options.root)
    share = Share(
        root,
        Sums(pool),
        Uploads(root, pool),
        rights,
        options.listing,
        in_thread,
        PageCache(pool),
        reactor,
        Patience(context.deadlines, options.read_timeout, options.max_requests_in_hand),
        limits=context.limits,
    )
    return FilesFactory(share) if options.protocol == "lines" else FilesSite(share, options.idle_timeout)


def example(options: FilesOptions, host: str, port: int) -> str:
    """A command line that tries it."""
    return f"curl http://{host}:{port}/" if options.protocol == "http" else f"echo LIST | nc -N {host} {port}"

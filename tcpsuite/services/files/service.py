"""What the file service is configured with, and how it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import NOTHING, frozen

from tcpsuite.options import DirectoryPath, Secret, Size, at_least, option

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocolFactory

    from tcpsuite.interfaces import IServiceContext


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
        Secret(""), "What a client may bear instead of logging in, to put files; empty for none."
    )


def build(options: FilesOptions, context: IServiceContext) -> IProtocolFactory:
    """The factory that serves ``options.root``.

    :raises StartError: when the root is not there, or cannot be read.
    """
    raise NotImplementedError

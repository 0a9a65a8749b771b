"""Who may log in to the manhole over SSH.  Needs the ``conch`` extra."""
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from twisted.conch.checkers import IAuthorizedKeysDB
from twisted.conch.ssh.keys import Key
from twisted.logger import Logger
from zope.interface import implementer

from tcpsuite.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterable


@implementer(IAuthorizedKeysDB)
class AuthorizedKeys:
    """The keys of an OpenSSH ``authorized_keys`` file, read at each login: a key that is taken out is out.

    Any user name will do.  A line that is no key is left out, and one with options before its key, for they
    are not understood here; one warning tells of each, until the file is another.
    """

    log = Logger()

    def __init__(self, path: str) -> None:
        self._path = path
        self._warned: tuple[int, int, int] | None = None

    def check(self) -> None:
        """See that some key may log in.

        :raises StartError: naming the file, when there is none.
        """
        if not self._path:
            raise StartError("manhole: ssh needs authorized_keys, a file of the public keys that may log in")
        try:
            found = self._read()
        except OSError as error:
            raise StartError(f"manhole: authorized_keys: {self._path}: {error.strerror}") from error
        if not found:
            raise StartError(f"manhole: authorized_keys: no key in {self._path}")

    def getAuthorizedKeys(self, username: bytes) -> Iterable[Key]:
        """The keys that may log in now."""
        try:
            return self._read()
        except OSError:
            return []

    def _read(self) -> list[Key]:
        keys = []
        with open(self._path, "rb") as file:
            status = os.fstat(file.fileno())
            version = status.st_ino, status.st_size, status.st_mtime_ns
            for number, line in enumerate(file, 1):
                text = line.strip()
                if not text or text.startswith(b"#"):
                    continue
                try:
                    keys.append(Key.fromString(text))
                except Exception as error:  # whatever the file may hold
                    if version != self._warned:
                        self.log.warn(
                            "manhole: authorized_keys: {path}:{line}: left out, no public key: {error}",
                            path=self._path, line=number, error=str(error) or type(error).__name__,
                        )  # fmt: skip
        self._warned = version
        return keys

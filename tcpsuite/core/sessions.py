"""What a session is, and the rules of its id, its life and its size.

An id is a secret: whoever knows it, and is the user who opened the session, may use it.  So it is made of 256
random bits, and only its SHA-256 is kept: a stolen store opens no session.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from enum import Enum
from hashlib import sha256
from math import inf
from typing import TYPE_CHECKING

from attrs import Factory, define, frozen

from tcpsuite.core.passwords import is_user
from tcpsuite.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

ID_BYTES = 32
"""Random bytes of an id: 256 bits, which nobody guesses."""
IDLE_TIMEOUT = 1800.0
"""Seconds that a session lives unused: a lost connection is resumed within minutes, or never."""
MAX_SESSIONS = 10_000
"""Sessions at once: with the bytes each may have, this bounds the store."""
MAX_KEYS = 1_000
"""Keys of one session: all their names fit in one answer of 256 KB."""
MAX_BYTES = 2**20
"""Bytes of one session's keys and values: a client's state, not its files."""
MAX_KEY = 256
"""Characters of a key: a name, not a value."""
THERE = "there is this session already"
"""Why a store fails to keep a new one."""
ANONYMOUS = "~"
"""Begins the user of every session that was opened without a login; no one who logs in is called so."""

_KEY = re.compile(f"[!-~]{{1,{MAX_KEY}}}")


@define
class Session:
    """A client's state.  Times are seconds since the epoch."""

    digest: bytes
    """The SHA-256 of its id."""
    user: str
    """Who opened it."""
    created: float
    used: float
    """When it was last used."""
    requests: int = 0
    """How often it was used."""
    data: dict[str, str] = Factory(dict)
    version: int = 0
    """Which of the states of its data this is: who knows it in this version knows what it holds."""


class Kept(Enum):
    """Whether a store keeps a new session."""

    YES = "yes"
    FULL = "full"
    """There are as many sessions as there may be."""
    USER_FULL = "user full"
    """Its user has as many as one may have."""


@frozen
class SessionTotals:
    """All sessions of a store, counted.  Times are seconds since the epoch."""

    sessions: int = 0
    users: int = 0
    """Users who have one."""
    top: Mapping[str, int] = Factory(dict)
    """How many those users have who have most, as many of them as were asked for; most first."""
    requests: int = 0
    """How often those were used that there are."""
    oldest: float = inf
    """When the one that lives longest was opened; never, if there is none."""
    idlest: float = inf
    """When the one that nobody used for longest was last used; never, if there is none."""


@frozen
class Lifetime:
    """How long a session lives, in seconds."""

    idle: float = IDLE_TIMEOUT
    """Unused."""
    age: float = 0.0
    """In all, however much it is used; 0: for ever."""

    def used_since(self, now: float) -> float:
        """A session that was last used before this has expired."""
        return now - self.idle

    def created_since(self, now: float) -> float:
        """A session that was opened before this has expired."""
        return now - self.age if self.age else 0.0

    def is_over(self, session: Session, now: float, in_use: bool = False) -> bool:
        """Has the session expired?

        :param in_use: whether a connection has it: it is not idle then, whatever was noted.
        """
        idle = not in_use and session.used < self.used_since(now)
        return idle or session.created < self.created_since(now)


@frozen
class DataLimits:
    """How much one session may hold."""

    keys: int = MAX_KEYS
    bytes: int = MAX_BYTES

    def check(self, data: Mapping[str, str], size: int, key: str, value: str) -> int:
        """May ``key`` hold ``value``?

        :param size: bytes that ``data`` has now, as :func:`size_of` counts them.
        :return: bytes that it has then.
        :raises ProtocolError: ``full``, when that is more than a session may hold.
        """
        old = data.get(key)
        if old is None and len(data) >= self.keys:
            raise ProtocolError("full", f"a session may hold {self.keys} keys")
        size += weight(key, value) - (0 if old is None else weight(key, old))
        if size > self.bytes:
            raise ProtocolError("full", f"a session may hold {self.bytes} bytes")
        return size


def new_id(random_bytes: bytes) -> str:
    """The text of a new id: 43 characters of letters, digits, ``-`` and ``_``.

    :param random_bytes: :data:`ID_BYTES` of them, from a source that nobody can predict.
    """
    if len(random_bytes) != ID_BYTES:
        raise ValueError(f"an id takes {ID_BYTES} random bytes, got {len(random_bytes)}")
    return urlsafe_b64encode(random_bytes).rstrip(b"=").decode()


def digest_of(session_id: str) -> bytes:
    """What is kept of an id."""
    return sha256(session_id.encode()).digest()


def check_key(key: str) -> None:
    """A key is 1 to 256 printable ASCII characters and no space, so that it is one word of a line.

    :raises ProtocolError: ``key``, when it is not.
    """
    if not _KEY.fullmatch(key):
        raise ProtocolError("key", f"a key is 1 to {MAX_KEY} printable ASCII characters without a space")


def size_of(data: Mapping[str, str]) -> int:
    """Bytes of all keys and values, in UTF-8."""
    return sum(weight(key, value) for key, value in data.items())


def may_resume(session: Session | None, session_id: str, user: str) -> bool:
    """May ``user`` go on with ``session``, if there is one, by showing ``session_id``?

    Only the user who opened it, or, for one that was opened without a login, anyone without a login.  The id
    is compared here, in constant time, whatever the store did to find it, and whether or not it found one.
    """
    found = _NOBODYS if session is None else session
    shown = hmac.compare_digest(digest_of(session_id), found.digest)
    mine = user == found.user or (user == ANONYMOUS and found.user.startswith(ANONYMOUS))
    return shown and mine


def check_owner(user: str) -> None:
    """A session is opened by a user who may be called so, or without a login, behind :data:`ANONYMOUS`.

    :raises ProtocolError: ``user``, when nobody can be called so: control characters, spaces, too long.
    """
    if user != ANONYMOUS and not is_user(user.removeprefix(ANONYMOUS)):
        raise ProtocolError("user", "no user can be called so")


def weight(key: str, value: str) -> int:
    """Bytes of one key and its value, in UTF-8."""
    return len(key.encode()) + len(value.encode())


_NOBODYS = Session(bytes(32), "", 0.0, 0.0)
"""Compared with when there is no session; no id has this digest."""

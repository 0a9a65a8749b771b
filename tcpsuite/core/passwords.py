"""The file of users and their passwords' hashes.

::

    file = *( line LF )
    line = "" / "#" comment / user ":" hash
    user = 1*64( printable ASCII but space and ":" ), beginning with neither "#" nor "~"
    hash = "scrypt$" n "$" r "$" p "$" salt "$" key    ; salt and key in base64

scrypt and its three costs: RFC 7914.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode, b64encode

from attrs import field, frozen

COST = (2**14, 8, 1)
"""n, r and p: 16 MiB and some 40 ms for each guess."""
SALT_BYTES = 16
KEY_BYTES = 32
MAX_MEMORY = 64 * 2**20
"""Bytes that one check may take: four times the default, for several run at once."""
MAX_PASSES = 16
"""The highest p: time grows with it, and memory does not show it."""

MAX_PASSWORD = 8 * 1024
"""Bytes of a password: it fits a line of a line service, and in base64 a header of HTTP."""

_USER = re.compile(r"(?![#~])[!-9;-~]{1,64}")


class PasswordFileError(ValueError):
    """A line of a password file that is not as it should be.  ``str`` says how; ``line`` counts from 1."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


@frozen
class PasswordHash:
    """What is kept of a password."""

    n: int
    r: int
    p: int
    salt: bytes = field(repr=False)
    key: bytes = field(repr=False)

    def __str__(self) -> str:
        salt, key = b64encode(self.salt).decode(), b64encode(self.key).decode()
        return f"scrypt${self.n}${self.r}${self.p}${salt}${key}"

    def matches(self, password: str) -> bool:
        """Is this the hash of ``password``?  Takes its full time either way: tens of milliseconds."""
        return hmac.compare_digest(_scrypt(password, self.n, self.r, self.p, self.salt), self.key)


def hashed(password: str, salt: bytes) -> PasswordHash:
    """Hash a new password; ``salt`` is :data:`SALT_BYTES` random bytes.  Takes tens of milliseconds."""
    n, r, p = COST
    return PasswordHash(n, r, p, salt, _scrypt(password, n, r, p, salt))


def decoy(n: int, r: int, p: int) -> PasswordHash:
    """A hash that no password has, and that costs as much to check: for users who do not exist."""
    return PasswordHash(n, r, p, bytes(SALT_BYTES), b"")


def is_user(name: str) -> bool:
    """May a user be called so?"""
    return _USER.fullmatch(name) is not None


def is_password(password: str) -> bool:
    """Can it be sent?  Nothing could be the whole rest of a line otherwise, and be told from its end."""
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        return False
    return 1 <= size <= MAX_PASSWORD and "\n" not in password and not password.endswith("\r")


def parse_passwords(text: str) -> dict[str, PasswordHash]:
    """The users of a password file.

    :raises PasswordFileError: at its first line that is neither empty, a comment, nor a user and a hash.
    """
    users: dict[str, PasswordHash] = {}
    for number, line in enumerate(text.split("\n"), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        user, colon, rest = entry.partition(":")
        if not colon or not is_user(user):
            raise PasswordFileError(
                number, "expected user:scrypt$n$r$p$salt$key, the user without a space or colon"
            )
        if user in users:
            raise PasswordFileError(number, f"the user {user} stands here for the second time")
        try:
            users[user] = parse_hash(rest)
        except ValueError as error:
            raise PasswordFileError(number, str(error)) from None
    return users


def parse_hash(text: str) -> PasswordHash:
    """The reverse of ``str(PasswordHash)``.

    :raises ValueError: when it is no hash, or one whose check takes too much memory or time.
    """
    try:
        name, *costs, salt, key = text.split("$")
        n, r, p = (int(cost) for cost in costs)
        result = PasswordHash(n, r, p, b64decode(salt, validate=True), b64decode(key, validate=True))
    except ValueError:
        raise ValueError("expected a hash of the form scrypt$n$r$p$salt$key") from None
    if name != "scrypt" or not result.salt or not result.key:
        raise ValueError("expected a hash of the form scrypt$n$r$p$salt$key")
    if n < 2 or n & (n - 1) or r < 1 or not 1 <= p <= MAX_PASSES or 128 * n * r > MAX_MEMORY:
        raise ValueError(
            f"expected n a power of two, p up to {MAX_PASSES}, and 128 n r up to {MAX_MEMORY} bytes; "
            f"got n {n}, r {r}, p {p}"
        )
    return result


def with_user(text: str, user: str, entry: PasswordHash) -> str:
    """The text of a password file in which ``user`` has this hash; all other lines stay as they are."""
    line = f"{user}:{entry}"
    lines = text.removesuffix("\n").split("\n") if text else []
    for number, old in enumerate(lines):
        if old.strip().startswith(f"{user}:"):
            lines[number] = line
            break
    else:
        lines.append(line)
    return "\n".join([*lines, ""])


def _scrypt(password: str, n: int, r: int, p: int, salt: bytes) -> bytes:
    # OpenSSL wants room for the blocks beside the 128 n r of the table.
    memory = 128 * n * r + 128 * r * (p + 2) + 2**16
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=KEY_BYTES)

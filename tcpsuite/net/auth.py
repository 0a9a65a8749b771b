"""Who logs in: passwords checked through ``twisted.cred``, failures limited by address."""

from __future__ import annotations

from attrs import frozen

from tcpsuite.options import FilePath, between, option


@frozen
class AuthOptions:
    """The ``[auth]`` table: who may log in, and how."""

    passwords: FilePath = option(
        FilePath(""), "The file of users and password hashes (tcpsuite passwd writes it); empty for none."
    )
    allow_plaintext: bool = option(
        False, "Whether a password may come without TLS from another machine, where others can read it."
    )
    failures_per_minute: int = option(
        10,
        "Failed logins a minute that one address may have; past it, each is refused at once.",
        check=between(1, 10_000),
    )

"""The manhole: a live Python prompt inside the process."""

from __future__ import annotations

from attrs import frozen

from tcpsuite.options import Endpoints, FilePath, option


@frozen
class ManholeOptions:
    """The ``[manhole]`` table."""

    enabled: bool = option(
        False,
        "Whether root and our own user get a Python prompt on a UNIX socket in the state directory.",
    )
    ssh: Endpoints = option(
        Endpoints(()),
        "Where the prompt is offered over SSH too; loopback only, and only with authorized_keys.",
    )
    authorized_keys: FilePath = option(
        FilePath(""), "The public keys that may log in over SSH, as in OpenSSH's file of that name."
    )

"""Whether Redis can be spoken to here: its client library comes with an extra."""

from __future__ import annotations

from importlib import import_module

from tcpsuite.errors import StartError


def need_redis() -> None:
    """Make sure that the library is there, before what imports it is.

    :raises StartError: when it is not, saying what is to be installed.
    """
    try:
        import_module("txredisapi")
    except ImportError as error:
        raise StartError(f"redis wants tcpsuite[redis] installed: {error}") from None

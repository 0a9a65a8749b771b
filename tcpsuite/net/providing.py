"""Builds what the configuration names: a built-in, or somebody's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface.verify import verifyObject

from tcpsuite.errors import StartError
from tcpsuite.options import import_provider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def provide(
    interface: Any,
    upstream: str,
    provider: str,
    built_in: Mapping[str, Callable[..., Any]],
    *arguments: Any,
    **options: Any,
) -> Any:
    """Build the provider of that name, and see that it is one.

    :param interface: what it is to provide.
    :param upstream: for which it is, for the error.
    :param built_in: the names that are ours.
    :raises StartError: when it cannot be built, or is none.
    """
    try:
        provided = (built_in.get(provider) or import_provider(provider))(*arguments, **options)
        verifyObject(interface, provided)
    except Exception as error:  # somebody's own code runs here, and may raise anything
        raise StartError(f"upstream {upstream}: {provider} cannot be used: {error}") from error
    return provided

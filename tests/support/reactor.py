"""The tests run on tcpsuite's reactor, or on the one that ``TCPSUITE_TEST_REACTOR`` names: ``epoll``, say.

A plugin of pytest, named in pyproject.toml: the reactor must be there before the first test is imported.
"""

from __future__ import annotations

import os
from functools import partial

import pytest

NAME = os.environ.get("TCPSUITE_TEST_REACTOR", "tcpsuite")


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Have pytest-twisted install this reactor where it would install Twisted's default."""
    import pytest_twisted
    from twisted.application.reactors import installReactor

    pytest_twisted.reactor_installers["default"] = partial(
        pytest_twisted._install_reactor,
        reactor_installer=partial(installReactor, NAME),
        reactor_type=(),  # none that somebody else has installed will do
    )


def pytest_report_header() -> str:
    """Say which one it is."""
    from twisted.internet import reactor

    return f"reactor: {type(reactor).__qualname__}"

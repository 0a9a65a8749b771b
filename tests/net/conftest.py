"""What the tests of transports and of the reactor share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.stage import KINDS, STOCK, Stage, stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.leaks import Unhandled


@pytest.fixture
def same(_unhandled: Unhandled) -> Callable[[Callable[[Stage], Any]], Any]:
    """Play a scene on each kind of reactor: what it gives, and what was logged, is the same on all.

    It is called with the scene, and gives what that gave, and the names of the errors that were logged.
    """

    def play(scene: Callable[[Stage], Any]) -> tuple[Any, list[str]]:
        given: dict[str, tuple[Any, list[str]]] = {}
        for kind in KINDS:
            with stage(kind) as on:
                outcome = scene(on)
            given[kind] = outcome, [type(failure.value).__name__ for failure in _unhandled.take()]
        for kind, found in given.items():
            assert found == given[STOCK], f"{kind} is not as {STOCK}"
        return given[STOCK]

    return play

"""The code that docs/sessions.md shows, run as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from tcpsuite.core.attaching.frames import MAX_PAYLOAD, MAX_WHY, Kind
from tcpsuite.net.attaching.carriers import BEAT, BEATS_MISSED

PAGE = Path(__file__).parents[1] / "docs" / "sessions.md"


@pytest_twisted.ensureDeferred
async def test_the_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The program of the page opens a session, goes on with it, and ends it; its observer hears of that."""
    (code,) = re.findall(r"^```python\n# basket\.py\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"__name__": "basket"}
    exec(compile(code, "basket.py", "exec"), names)
    await names["main"](reactor)
    said = capsys.readouterr().out.splitlines()
    assert [line.partition("(")[0] for line in said] == [
        "Opened", "Left", "Resumed", "3 apples", "Destroyed", "1",
    ]  # fmt: skip


def test_frames_are_told() -> None:
    """Each kind of frame is in the table of kinds, and the numbers are those of the code."""
    text = PAGE.read_text()
    for kind in Kind:
        assert re.search(rf"^\| `{kind.value.decode()}` \|", text, re.MULTILINE), kind
    for told in (
        f"at most {MAX_PAYLOAD}",
        f"at most {MAX_WHY} bytes",
        f"every {BEAT:g} s",
        f"nothing for {BEAT * BEATS_MISSED:g} s",
    ):
        assert told in text, told


def test_every_answer_is_told() -> None:
    """Each code that the service answers with is in the table of codes."""
    text = PAGE.read_text()
    for code in (
        "login",
        "plaintext",
        "state",
        "no-session",
        "no-key",
        "full",
        "usage",
        "store",
        "internal",
        "attach",
        "lost",
    ):
        assert re.search(rf"^\|.*`{code}`.*\|", text, re.MULTILINE), code

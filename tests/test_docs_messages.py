"""The code that docs/messages.md shows, run as it stands; and its wire, against the code."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import fields
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString

from tcpsuite.config import load
from tcpsuite.core.connections import Connection
from tcpsuite.core.messages import wire
from tcpsuite.core.messages.wire import Kind
from tcpsuite.net.client import ClientOptions
from tcpsuite.services.message import build
from tcpsuite.testing.contexts import FakeContext

TEXT = (Path(__file__).parents[1] / "docs" / "messages.md").read_text()
NAMED_BLOCK = re.compile(r"^```(?:python|toml)\n# (\S+\.(?:py|toml))\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The files that the page shows, in a folder that modules are imported from."""
    for name, text in NAMED_BLOCK.findall(TEXT):
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("shop", "fruit"):
        sys.modules.pop(name, None)


@pytest_twisted.ensureDeferred
async def test_the_program_runs(example, capsys):
    """The configuration is good, and the client prints what the page says."""
    listener = load(str(example / "messages.toml")).config.listeners["messages"]
    factory: Any = build(listener.options, FakeContext(reactor))
    build_protocol = factory.buildProtocol

    def with_record(address: Any) -> Any:
        protocol = build_protocol(address)
        protocol.connection = Connection("1", "", "", "messages", "message", 0.0, 0.0)
        return protocol

    factory.buildProtocol = with_record
    port: Any = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(factory)
    import fruit  # type: ignore[import-not-found]

    await fruit.main(reactor, f"tcp:127.0.0.1:{port.getHost().port}")
    await port.stopListening()
    (shown,) = re.findall(r"^\$ python fruit.py\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    assert capsys.readouterr().out == shown


def test_the_wire() -> None:
    """Every kind has its number there, and the bytes that are shown are those that are sent."""
    for kind in Kind:
        assert re.search(rf"^{kind.name.lower()} += %x0{kind.value}(?: |$)", TEXT, re.MULTILINE), kind
    assert f"{(wire.request_head(1, 5000, b'', b'echo', 2) + b'hi').hex(' ')}    request" in TEXT
    assert f"{(wire.reply_head(1, 2) + b'hi').hex(' ')}  " in TEXT


def test_every_code_is_told() -> None:
    """Each code that the service answers with is in the table of codes."""
    source = "".join(
        (Path(__file__).parents[1] / "tcpsuite" / place).read_text()
        for place in (
            "services/calling.py",
            "services/methods.py",
            "services/running.py",
            "services/message.py",
            "core/messages/framing.py",
            "core/messages/wire.py",
        )
    )
    patterns = (
        r'(?:ProtocolError|RequestFailed)\(\s*"([a-z-]+)"',
        r'return "(busy|limit)"',
        r'refusal\((?:self\.)?number, "([a-z]+)"',
    )
    found = {code for pattern in patterns for code in re.findall(pattern, source)}
    assert found >= {"unknown", "busy", "limit", "late", "internal", "usage", "format", "too-long"}
    for code in found:
        assert f"\n| `{code}` |" in TEXT, code


def test_the_defaults_are_those() -> None:
    """The numbers that the page gives for the client are its defaults."""
    default = {field.name: field.default for field in fields(ClientOptions)}
    assert (default["first_wait"], default["longest_wait"], default["healthy"]) == (0.1, 30.0, 30.0)
    assert (default["queue_messages"], default["queue_bytes"]) == (1000, 8 * 1024**2)
    assert (default["large"], default["connections"]) == (64 * 1024, 4)

"""What docs/pools.md says, held against the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest_twisted
from click.testing import CliRunner
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver

from tcpsuite.cli import main
from tcpsuite.config.walk import options_of
from tcpsuite.core.pooling.settings import MODES, PRESET_FIELDS, PRESETS, concerns
from tcpsuite.net.pool_options import HOOKS, PoolOptions
from tcpsuite.options import Duration, Provider, parse_duration

CHECKOUT = Path(__file__).parents[1]
PAGE = (CHECKOUT / "docs" / "pools.md").read_text()
NAMED_BLOCK = re.compile(r"^```toml\n# (\S+\.toml)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def table(header: str) -> list[list[str]]:
    """The rows of the table of the page that begins with this cell, without the backticks."""
    _, _, rest = PAGE.partition(f"\n| {header} |")
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    assert rows, header
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in rows]


def read(text: str, kind: Any) -> object:
    """A value as a page has it: ``5 min``, ``0.1``, ``none``."""
    if kind is Duration:
        return parse_duration(text.replace(" min", "m").replace(" ", ""))
    return {"none": ""}.get(text, text) if kind in (str, Provider) else float(text)


def test_every_option_is_told_of_and_the_modes_that_look_at_it():
    """Each option but the mode and the preset stands there once, with its default."""
    told = {}
    for names, defaults, modes, _ in table("option"):
        for name, default in zip(names.split(", "), defaults.split(", "), strict=True):
            told[name] = default, modes
    options = {own.name: own for own in options_of(PoolOptions) if own.name not in ("mode", "preset")}
    assert sorted(told) == sorted(options)
    for name, (default, modes) in told.items():
        option = options[name]
        assert read(default, option.type) == option.default, name
        everywhere = {"all": set(MODES), "all but on_demand": set(MODES) - {"on_demand"}}
        said = everywhere.get(modes) or set(modes.split(", "))
        if name == "provider":
            assert said == set(MODES)
        elif name in HOOKS:
            assert said == set(HOOKS[name])
        else:
            assert said == {mode for mode in MODES if concerns(name, mode)}, name


def test_the_figures_of_the_presets():
    """Each preset, column by column."""
    _, _, head = PAGE.partition("\n| preset |")
    assert tuple(re.findall(r"`(\w+)`", head.partition("\n")[0])) == PRESET_FIELDS
    shown = {row[0]: [float(cell.removesuffix(" s")) for cell in row[1:]] for row in table("preset")}
    assert shown == {name: list(preset.values()) for name, preset in PRESETS.items()}


def test_the_commands_print_what_stands_there(tmp_path, monkeypatch):
    """``pool-size``, and ``check`` of the file above it."""
    for name, content in NAMED_BLOCK.findall(PAGE):
        (tmp_path / name).write_text(f"# {name}\n{content}")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^```console\n\$ tcpsuite (.*?)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert [command.split()[0] for command, _ in commands] == ["pool-size", "check"]
    for command, output in commands:
        assert CliRunner().invoke(main, command.split()).output == output


class Pong(LineReceiver):
    """The server of the program: it knows one word."""

    def lineReceived(self, line):
        assert line == b"PING"
        self.sendLine(b"+PONG")


@pytest_twisted.ensureDeferred
async def test_the_program_in_the_readme_prints_what_stands_there(capsys):
    """Its five hundred questions are answered, over as many connections as the preset allows."""
    readme = (CHECKOUT / "README.md").read_text()
    found = re.search(
        r"```python\n# pings\.py\n(.*?)```\n\n```console\n\$ python pings\.py\n(.*?)```", readme, re.DOTALL
    )
    assert found is not None
    program, output = found.groups()
    names: dict[str, Any] = {}
    exec(program, names)
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(Pong))
    try:
        await names["main"](reactor, f"tcp:127.0.0.1:{port.getHost().port}")
    finally:
        await port.stopListening()
    assert capsys.readouterr().out == output

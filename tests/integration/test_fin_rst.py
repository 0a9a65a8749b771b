"""Every order of FIN and RST by a client and a server: what arrives at the other side.

Each row of the table is played three times: directly, which is what TCP itself does, through tcpsuite and
through HAProxy, two real processes.  Scripts by chance are compared with the direct connection.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.integration.support.orders import TABLE, Row
from tests.integration.support.play import QUIET, Play, Way, listening
from tests.integration.support.programs import Program, accepts, free_port, need, wait_until
from tests.integration.support.scripts import Script
from tests.integration.support.suites import Suite

if TYPE_CHECKING:
    from collections.abc import Iterator

SEEDS = 500


TCPSUITE = """
[listener.gate]
endpoint = "tcp:<gate>:interface=127.0.0.1"
service = "gateway"
upstream = "puppet"

[upstream.puppet]
servers = [{ name = "puppet", address = "tcp:127.0.0.1:<server>" }]
health = { mode = "none" }
"""

HAPROXY = """
global
    nbthread 1
defaults
    mode tcp
    retries 0
    timeout connect 10s
    timeout client 30s
    timeout server 30s
listen gate
    bind 127.0.0.1:{gate}
    server puppet 127.0.0.1:{server}
"""


@pytest.fixture(scope="module")
def directly() -> Iterator[Way]:
    """With nobody between client and server."""
    with listening() as server:
        yield Way("TCP", server.getsockname()[1], server)


@pytest.fixture(scope="module")
def tcpsuite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """Through the gateway, which has no connection left when all is over."""
    with listening() as server:
        ports = {"server": server.getsockname()[1]}
        with Suite(TCPSUITE, tmp_path_factory.mktemp("tcpsuite"), ports=ports) as suite:
            yield Way("tcpsuite", suite.started().ports["gate"], server, suite.process.pid)
            wait_until(lambda: not suite.status()["connections"]["open"], "the end of all connections")
            suite.finish()


@pytest.fixture(scope="module")
def haproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """Through HAProxy."""
    need("haproxy")
    folder, gate = tmp_path_factory.mktemp("haproxy"), free_port()
    config = folder / "haproxy.cfg"
    with listening() as server:
        config.write_text(HAPROXY.format(gate=gate, server=server.getsockname()[1]))
        with Program("haproxy", "-db", "-f", config, log=folder / "log") as program:
            program.ready(lambda: accepts(gate), "HAProxy listened")
            server.accept()[0].close()  # the question whether it listens was passed on
            yield Way("HAProxy", gate, server, program.process.pid)


def matches(told: str, expected: str) -> bool:
    """Whether it is what was expected, or what is as good."""
    patterns = (each.replace("some", "[1-9][0-9]*") for each in expected.split(" or "))
    return any(re.fullmatch(pattern, told) for pattern in patterns)


def arrives(way: Way, script: Script, client: str, server: str) -> None:
    """Play the script, and see that each side has what it must."""
    with Play(way) as play:
        told = play.run(script)
    assert matches(told["client"], client), f"the client had {told['client']}: {script}"
    assert matches(told.get("server", "nobody"), server), f"the server had {told['server']}: {script}"


def is_late(way: Way, script: Script) -> None:
    """Play a script whose last step does not come to pass."""
    *_, last = script.steps
    with Play(way, patience=QUIET) as play, pytest.raises(AssertionError, match=f"{last}: not done in time"):
        play.run(script)


@pytest.mark.parametrize("row", [row for row in TABLE if row.direct], ids=str)
def test_what_tcp_does(directly: Way, row: Row) -> None:
    """What must arrive is what arrives when there is nobody between the two."""
    arrives(directly, row.script, row.client, row.server)


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_what_the_gateway_does(tcpsuite: Way, row: Row) -> None:
    """What must arrive does."""
    arrives(tcpsuite, row.script, row.client, row.server)


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_what_haproxy_does(haproxy: Way, row: Row) -> None:
    """It does the same, but where the table says what it does instead."""
    if row.late:
        is_late(haproxy, row.script)
    else:
        arrives(haproxy, row.script, *(row.haproxy or (row.client, row.server)))


def test_scripts_by_chance(directly: Way, tcpsuite: Way) -> None:
    """Through the gateway each side hears what it hears directly, whatever the two do."""
    for seed in range(SEEDS):
        script = Script.random(seed)
        told = []
        for way in (directly, tcpsuite):
            with Play(way) as play:
                try:
                    told.append(play.run(script))
                except AssertionError as error:
                    raise AssertionError(f"Script.random({seed}), {way.name}: {script}: {error}") from error
        assert told[0] == told[1], f"Script.random({seed}), directly and through the gateway: {script}"


def test_a_script_is_its_text() -> None:
    """A script that is read from its text is the same one, and so is one by chance of the same seed."""
    for seed in range(SEEDS):
        script = Script.random(seed)
        assert Script.read(str(script)) == script == Script.random(seed)
    assert repr(Script.read("client:connect ;server:  accept,reset")) == (
        "<Script client: connect; server: accept, reset>"
    )


@pytest.mark.parametrize(
    "text", ["client: accept", "gate: send 1", "server: send much", "nobody: stop", "connect"]
)
def test_a_step_that_nobody_takes(text: str) -> None:
    """A step that there is not, or not for that one, is refused with its name."""
    with pytest.raises(ValueError, match=text):
        Script.read(text)

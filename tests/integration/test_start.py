"""What a newcomer does: start the demonstration from each kind of installation, try it, and stop it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tomllib
from importlib.resources import files
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.support.environments import CHECKOUT, Environment, build_wheel
from tests.integration.support.programs import accepts, free_port, need, run, wait_until
from tests.integration.support.suites import BIN, Suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from pathlib import Path

LISTENERS = ("gateway", "one", "two", "three", "echo", "files", "file-lines", "sessions", "messages", "admin")


def settings(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every text of a configuration, by the environment variable that overrides it."""
    if isinstance(value, str):
        yield "__".join(("TCPSUITE", *path)).upper().replace("-", "_"), value
    elif isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from settings(each, (*path, str(key)))


class Demonstration(Suite):
    """The demonstration, on free ports, for its own may be taken on this machine."""

    def __init__(self, folder: Path, argv: tuple[str, ...]) -> None:
        config = tomllib.loads(files("tcpsuite.config").joinpath("demo.toml").read_text())
        moved: dict[str, int] = {}
        environment = {}
        for variable, text in settings(config):
            if port := re.match(r"tcp:(?:127\.0\.0\.1:)?(\d+)", text):
                moved.setdefault(port[1], free_port())
                environment[variable] = text.replace(port[1], str(moved[port[1]]))
        tables = {**config["listener"], "admin": config["admin"]}
        ports = {name: moved[table["endpoint"].split(":")[1]] for name, table in tables.items()}
        super().__init__(None, folder, argv=argv, env=environment, ports=ports)


@pytest.fixture(params=["wheel", "editable"], scope="module")
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment with tcpsuite, from its wheel or editable."""
    folder = tmp_path_factory.mktemp(request.param)
    environment = Environment(folder / "environment")
    environment.install(
        *(("--editable", CHECKOUT) if request.param == "editable" else (build_wheel(folder),))
    )
    home = CHECKOUT if request.param == "editable" else environment.packages
    assert environment.ask("import tcpsuite; print(tcpsuite.__path__[0])") == str(home / "tcpsuite")
    return environment


def stopped_with_traffic(suite: Suite) -> None:
    """SIGTERM while bytes are under way through the gateway: they all arrive, and then it ends."""
    data = os.urandom(100_000)
    with socket.create_connection(("127.0.0.1", suite.ports["gateway"]), timeout=30) as connection:
        connection.sendall(data[:50_000])
        received = connection.recv(1)  # so it is accepted, and joined to its server
        suite.signal(SIGTERM)
        wait_until(lambda: not accepts(suite.ports["gateway"]), "the gateway accepted nothing more")
        connection.sendall(data[50_000:])
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as reader:
            assert received + reader.read() == data
    assert suite.wait() == 0, repr(suite)
    assert "Traceback" not in suite.output


def test_installed(environment: Environment, tmp_path: Path, running: ExitStack) -> None:
    """The wheel, and the editable install, give both commands; each starts, and stops with traffic on it."""
    assert re.search(r"^ +tcpsuite +A TCP gateway", run(*environment.twistd, "--help", cwd="/").stdout, re.M)
    version = run(environment.bin / "tcpsuite", "--version", cwd="/").stdout
    assert version.split()[-1] == environment.ask("import tcpsuite; print(tcpsuite.__version__)")
    for argv in (
        (str(environment.bin / "tcpsuite"), "run"),
        (*environment.twistd, "--nodaemon", "--pidfile=", "tcpsuite"),
    ):
        suite = running.enter_context(Demonstration(tmp_path, argv)).started()
        stopped_with_traffic(suite)


def test_demonstration(tmp_path: Path, running: ExitStack) -> None:
    """`tcpsuite run` prints a table of what listens, each with a line to try it, and these lines work."""
    need("nc", "curl", "socat")
    suite = running.enter_context(Demonstration(tmp_path, (str(BIN / "tcpsuite"), "run"))).started()
    rows = {row.split()[0]: re.split(r" {2,}", row.strip()) for row in table(suite.output)}
    assert rows.keys() == {*LISTENERS, "manhole"}
    for name in LISTENERS:
        assert rows[name][1] == f"127.0.0.1:{suite.ports[name]}"
        assert tried(rows[name][-1], tmp_path), rows[name]
    stopped_with_traffic(suite)


def table(output: str) -> list[str]:
    """The lines behind the headings, up to the empty one."""
    _, _, rows = output.partition("  listener ")
    return rows.partition("\n\n")[0].splitlines()[1:]


def tried(line: str, folder: Path) -> bytes:
    """What a command line first says when something is typed into it, in the folder where it was shown."""
    process = subprocess.Popen(
        line,
        shell=True,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(b"hello\n")
            process.stdin.flush()
            return os.read(process.stdout.fileno(), 1000)
        finally:
            os.killpg(process.pid, SIGKILL)

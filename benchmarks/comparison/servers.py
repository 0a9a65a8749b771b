"""How each server is started: tcpsuite as it ships, and its peers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM, Signals

from . import BenchError

HERE = Path(__file__).parent.parent
PEERS = HERE / "peers"
OURS = "tcpsuite"
ONE_SERVER = 'servers = [{ name = "back", address = "tcp:127.0.0.1:{backend}" }]'


@dataclass(frozen=True)
class Server:
    """A server that may be measured.

    In all its texts ``{port}``, ``{backend}`` (the port that a relay leads to), ``{root}`` (the folder of
    files), ``{folder}`` (its own) and ``{admin}`` (a second port) are filled in.

    :ivar argv: the command that serves in the foreground; empty when something is missing here.
    :ivar needs: what to install for it.
    :ivar config: what its configuration file says; ``{config}`` in the command is the file's path.
    :ivar source: what must be compiled first, in Go.
    :ivar ends_by: the signal that ends it soon and in good order.
    """

    name: str
    argv: tuple[str, ...]
    needs: str = ""
    config: str = ""
    source: str = ""
    ends_by: Signals = SIGTERM


@dataclass(frozen=True)
class Kit:
    """What servers are made of.

    :ivar folder: where to build and to write.
    :ivar python: the interpreter of the Python peers.
    :ivar files: how many descriptors a process may have.
    :ivar ours: the command that starts tcpsuite.
    """

    folder: Path
    python: str
    files: int
    ours: tuple[str, ...] = (sys.executable, "-m", "tcpsuite", "run", "--config", "{config}")

    @property
    def load(self) -> str:
        """The program that makes the load."""
        return str(self.folder / "load")

    @property
    def echo(self) -> str:
        """The echo server in C: the limit, and the backend of the relays."""
        return str(self.folder / "echo")

    def build(self) -> None:
        """Compile what is in C.

        :raises BenchError: saying what is missing.
        """
        for program in (self.load, self.echo):
            self.compile(Path(program).name)
        if not shutil.which("taskset"):
            raise BenchError("taskset is needed; on Debian and Ubuntu: apt install util-linux")

    def compile(self, name: str) -> str:
        """Compile a program of these folders; where it is.

        :raises BenchError: saying what is missing.
        """
        program = str(self.folder / name)
        if not succeeds("cc", "-O2", "-o", program, str(HERE / f"{name}.c")):
            raise BenchError("a C compiler is needed, as cc; on Debian and Ubuntu: apt install gcc libc6-dev")
        return program

    def can_build(self, server: Server) -> bool:
        """Compile what the server needs, if anything, and tell whether that went well."""
        if not server.source:
            return True
        env = {**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOCACHE": str(self.folder / "go")}
        return succeeds("go", "build", "-o", server.argv[0], str(PEERS / server.source), env=env)


def succeeds(*argv: str, env: dict[str, str] | None = None) -> bool:
    """Whether the command is there and ends well."""
    try:
        return subprocess.run(argv, env=env, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def ours(
    kit: Kit,
    work: str,
    name: str = OURS,
    *,
    log: bool = True,
    limit: bool = True,
    limits: str | None = None,
    upstream: str = ONE_SERVER,
    admin: str = "",
) -> Server:
    """tcpsuite as it ships: counted for its metrics, with the access log on, and limits above the load.

    :param work: ``echo``, ``relay`` or ``file``.
    :param log: whether there is an access log.
    :param limit: whether connections are counted by address.
    :param limits: the ``[limits]`` table, in place of those.
    :param upstream: the table of a relay's upstream, and those below it.
    :param admin: more of the ``[admin]`` table.
    """
    service = {
        "echo": 'service = "echo"',
        "relay": 'service = "gateway"\nupstream = "back"',
        "file": 'service = "files"\nroot = "{root}"',
    }[work]
    spare = kit.files - 500
    most = min(4_000, spare // 2) if work == "relay" else min(12_000, spare)
    by_address = most if limit else 0
    if limits is None:
        limits = f"connections = {most}\nconnections_per_ip = {by_address}\nexempt_loopback = false"
    parts = [
        'state_directory = "{folder}/state"',
        f'[listener.bench]\nendpoint = "tcp:{{port}}:interface=127.0.0.1:backlog=4096"\n{service}',
        f"[limits]\n{limits}",
        f'[admin]\nendpoint = "tcp:{{admin}}:interface=127.0.0.1"\n{admin}',
    ]
    if work == "relay":
        parts.append(f"[upstream.back]\n{upstream}")
    if log:
        parts.append('[access_log]\npath = "{folder}/access.log"')
    return Server(name, kit.ours, config="\n\n".join(parts) + "\n")


def echo_servers(kit: Kit) -> list[Server]:
    """tcpsuite's echo and those that it is compared with."""
    node = shutil.which("node")
    go = (str(kit.folder / "echo_go"), "{port}") if shutil.which("go") else ()
    uvloop = succeeds(kit.python, "-c", "import uvloop")
    asyncio_echo = (kit.python, str(PEERS / "asyncio_echo.py"), "{port}")
    return [
        ours(kit, "echo"),
        Server("uvloop", (*asyncio_echo, "uvloop") if uvloop else (), "uvloop, by pip"),
        Server("Go net", go, "golang-go", source="echo.go"),
        Server("Node net", (node, str(PEERS / "echo.js"), "{port}") if node else (), "nodejs"),
        Server("asyncio", asyncio_echo),
        stock_twisted(kit, "Twisted, stock", str(PEERS / "twisted_echo.py"), "{port}"),
        Server("C, epoll", (kit.echo, "{port}")),
    ]


def crowd_servers(kit: Kit) -> list[Server]:
    """Those of them that are compared at 10,000 connections."""
    chosen = {OURS, "uvloop", "Go net", "Twisted, stock", "C, epoll"}
    return [server for server in echo_servers(kit) if server.name in chosen]


def cost_servers(kit: Kit) -> list[Server]:
    """tcpsuite's echo, and what is left of it when one thing after the other is taken away."""
    bare = (sys.executable, str(PEERS / "twisted_echo.py"), "{port}", "tcpsuite")
    there = succeeds(sys.executable, "-c", "import tcpsuite.net.reactor")
    return [
        ours(kit, "echo"),
        ours(kit, "echo", "no access log", log=False),
        ours(kit, "echo", "no limit by address", limit=False),
        ours(kit, "echo", "neither", log=False, limit=False),
        Server("a bare factory on tcpsuite's reactor", bare if there else (), "tcpsuite's reactor"),
    ]


def relay_servers(kit: Kit) -> list[Server]:
    """tcpsuite's gateway and those that it is compared with."""
    haproxy = ("haproxy", "-db", "-f", "{config}") if shutil.which("haproxy") else ()
    text = (PEERS / "haproxy.cfg").read_text()
    module = nginx_stream()
    stream = (PEERS / "nginx-stream.conf").read_text()
    portforward = str(PEERS / "twisted_relay.py")
    return [
        ours(kit, "relay"),
        Server("HAProxy", haproxy, "haproxy", text.replace("{buffer}", "16384")),
        Server("HAProxy, 64 KiB buffers", haproxy, "haproxy", text.replace("{buffer}", "65536")),
        Server(
            "nginx stream",
            ("nginx", "-c", "{config}") if module is not None else (),
            "nginx-light with libnginx-mod-stream",
            stream.replace("{module}", module or ""),
        ),
        stock_twisted(kit, "Twisted portforward", portforward, "{port}", "{backend}"),
    ]


def file_servers(kit: Kit) -> list[Server]:
    """tcpsuite's files over HTTP and those that they are compared with."""
    nginx = ("nginx", "-c", "{config}") if shutil.which("nginx") else ()
    listen = ("--listen", "tcp:{port}:interface=127.0.0.1")
    web = ("-m", "twisted", "--reactor=epoll", "web", *listen, "--path", "{root}")
    return [
        ours(kit, "file"),
        Server("nginx sendfile", nginx, "nginx-light", (PEERS / "nginx-http.conf").read_text()),
        stock_twisted(kit, "Twisted, static.File", *web),
    ]


def stock_twisted(kit: Kit, name: str, *words: str) -> Server:
    """A peer that needs Twisted alone."""
    there = succeeds(kit.python, "-c", "import twisted")
    return Server(name, (kit.python, *words) if there else (), "twisted, by pip")


def nginx_stream() -> str | None:
    """What nginx's configuration must say to relay TCP, ``None`` if it cannot."""
    if not shutil.which("nginx"):
        return None
    said = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=False).stderr
    if "--with-stream" in said.split():
        return ""
    folder = re.search(r"--modules-path=(\S+)", said)
    module = Path(folder[1] if folder else "/usr/lib/nginx/modules") / "ngx_stream_module.so"
    return f"load_module {module};" if module.exists() else None

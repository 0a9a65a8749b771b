"""Real programs on connections that outlive what carries them."""

from __future__ import annotations

import hashlib
import random
import re
import socket
import threading
from functools import partial
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import connectProtocol
from twisted.internet.threads import deferToThread

from tcpsuite.cli.attach import attach
from tcpsuite.core.attaching.events import Cut
from tcpsuite.errors import ProtocolError
from tcpsuite.net.attaching.client import AttachClient
from tcpsuite.net.auth import set_password
from tcpsuite.net.connecting import server_endpoint
from tests.integration.support.attach import SUITE, Attach, suite_for
from tests.integration.support.cutter import Cutter
from tests.integration.support.postgres import USER, Postgres, psql
from tests.integration.support.programs import PATIENCE, Program, free_port, need, run, wait_until
from tests.integration.support.redis import Redis
from tests.support.client import Client
from tests.support.sockets import write_certificate

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from tcpsuite.core.attaching.events import Event
    from tests.integration.support.suites import Suite

CUTS = 10
ROWS = 500_000
ROW = "SELECT g, repeat(md5(g::text), 3) FROM generate_series(1, {}) g"
MESSAGES = 10_000


def places(volume: int) -> list[int]:
    """Where to cut on the way of so many bytes: somewhere else each time."""
    return random.sample(range(1, volume), CUTS)


@pytest.fixture
def postgres(running: ExitStack) -> Postgres:
    """A PostgreSQL."""
    need("initdb", "postgres", "pg_isready", "psql", "setpriv")
    # Not in tmp_path, which is closed to other users.
    folder = Path(running.enter_context(TemporaryDirectory(prefix="tcpsuite-postgres-")))
    return running.enter_context(Postgres(folder)).started()


def waiting_psql(port: int, folder: Path) -> Program:
    """A psql that asks for what takes long."""
    place = ("-h", "127.0.0.1", "-p", str(port), "-U", USER, "-d", "postgres")
    return Program("psql", "-X", *place, "-c", "SELECT pg_sleep(300)", log=folder / "psql.log")


def sleeping(postgres: Postgres) -> bool:
    """Whether it is asked for that now."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
    return psql(postgres.port, asked) == "1\n"


def md5(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def test_copy(serve: Callable[..., Suite], tmp_path: Path, running: ExitStack, postgres: Postgres) -> None:
    """52 MB are copied out of PostgreSQL and in again, each while all on the way is cut ten times."""
    suite = suite_for(serve, postgres.port)
    direct, out, again = (tmp_path / name for name in ("direct", "out", "again"))
    psql(postgres.port, f"CREATE TABLE first AS {ROW.format(ROWS)}", f"\\copy first TO '{direct}'")
    size = direct.stat().st_size
    assert size > 50_000_000

    for command, file in ((f"\\copy first TO '{out}'", out), (f"\\copy second FROM '{direct}'", again)):
        psql(postgres.port, "DROP TABLE IF EXISTS second", "CREATE TABLE second (LIKE first)")
        cutter = running.enter_context(Cutter(suite.ports["sessions"], places(size)))
        attach = running.enter_context(Attach(cutter.port, tmp_path)).started()
        psql(attach.port, command)
        assert (cutter.left, cutter.made) == (0, CUTS)
        if file is again:
            assert psql(postgres.port, "SELECT count(*) FROM second") == f"{ROWS}\n"
            psql(postgres.port, f"\\copy second TO '{again}'")
        assert md5(file) == md5(direct)
        assert "is reset" not in attach.output
        assert attach.end() == 0
    suite.finish()


def test_subscriber(serve: Callable[..., Suite], tmp_path: Path, running: ExitStack) -> None:
    """A subscriber of Redis hears each of 10,000 messages once, in order, while what carries them is cut ten
    times.
    """
    need("redis-server", "redis-cli")
    redis = running.enter_context(Redis(free_port(), tmp_path)).started()
    suite = suite_for(serve, redis.port)
    cutter = running.enter_context(Cutter(suite.ports["sessions"], places(MESSAGES * 40)))
    attach = running.enter_context(Attach(cutter.port, tmp_path)).started()
    command = ("redis-cli", "-p", str(attach.port), "SUBSCRIBE", "news")
    subscriber = running.enter_context(Program(*command, log=tmp_path / "subscriber.log"))
    subscriber.ready(lambda: "subscribe" in subscriber.output, "it has subscribed")

    with (
        socket.create_connection(("127.0.0.1", redis.port)) as publisher,
        publisher.makefile("rb") as replies,
    ):
        for number in range(MESSAGES):
            publisher.sendall(b"PUBLISH news %d\r\n" % number)
            assert replies.readline() == b":1\r\n", "there is one subscriber all the time"
    wait_until(lambda: f"\n{MESSAGES - 1}\n" in subscriber.output, "the last one was heard")

    heard = re.findall(r"^message\nnews\n(\d+)$", subscriber.output, re.MULTILINE)
    assert heard == [str(number) for number in range(MESSAGES)]
    assert (cutter.left, cutter.made) == (0, CUTS)
    subscriber.end()
    assert "is reset" not in attach.output
    assert attach.end() == 0
    suite.finish()


def test_both_ways(serve: Callable[..., Suite], tmp_path: Path, running: ExitStack) -> None:
    """With both ways busy all the time, each arrives whole, and a FIN behind it."""
    echo = free_port()
    suite = serve(SUITE.format(timeout="2m"), ports={"server": echo, "echo": echo})
    data = random.randbytes(30_000_000)
    cutter = running.enter_context(Cutter(suite.ports["sessions"], places(2 * len(data))))
    attach = running.enter_context(Attach(cutter.port, tmp_path)).started()
    with socket.create_connection(("127.0.0.1", attach.port), timeout=PATIENCE) as program:

        def speak() -> None:
            program.sendall(data)
            program.shutdown(socket.SHUT_WR)

        speaking = threading.Thread(target=speak)
        speaking.start()
        with program.makefile("rb") as reader:
            heard = reader.read()
        speaking.join()
    assert hashlib.md5(heard).digest() == hashlib.md5(data).digest()
    assert (cutter.left, cutter.made) == (0, CUTS)
    assert attach.end() == 0
    suite.finish()


def test_benchmark(serve: Callable[..., Suite], tmp_path: Path, running: ExitStack) -> None:
    """redis-benchmark notices nothing, on fifty connections of a session each, all of which are closed."""
    need("redis-server", "redis-benchmark")
    redis = running.enter_context(Redis(free_port(), tmp_path)).started()
    suite = suite_for(serve, redis.port)
    attach = running.enter_context(Attach(suite.ports["sessions"], tmp_path)).started()
    answer = run(
        *("redis-benchmark", "-p", str(attach.port), "-n", "20000", "-P", "8", "-t", "set,get", "--csv"),
    ).stdout
    assert [line.split(",")[0] for line in answer.splitlines()[1:]] == ['"SET"', '"GET"'], answer
    wait_until(lambda: no_sessions(suite), "all were closed")
    assert attach.told == []
    assert attach.end() == 0
    suite.finish()


def no_sessions(suite: Suite) -> bool:
    """Whether no session is stored."""
    return "\ntcpsuite_sessions_stored 0\n" in suite.get("/metrics")[1]


def test_cut_for_too_long(
    serve: Callable[..., Suite], tmp_path: Path, running: ExitStack, postgres: Postgres
) -> None:
    """When the suite has given the server's connection up, psql ends with an error; the next is served."""
    suite = suite_for(serve, postgres.port, timeout="500ms")
    cutter = running.enter_context(Cutter(suite.ports["sessions"]))
    attach = running.enter_context(Attach(cutter.port, tmp_path)).started()
    client = running.enter_context(waiting_psql(attach.port, tmp_path))
    wait_until(lambda: sleeping(postgres), "psql was asking")
    cutter.away = True
    cutter.cut()
    wait_until(lambda: "trying for 2m" in attach.output, "the suite could not be reached")
    wait_until(lambda: suite.status()["sessions"]["connected"] == 0, "it was given up")
    cutter.away = False
    assert client.wait() == 2
    assert "connection to server was lost" in client.output
    wait_until(lambda: len(attach.told) == 2, "why was told")
    assert re.fullmatch(r"connection 1 is reset: .* \(lost\)", attach.told[1])
    assert psql(attach.port, "SELECT 1") == "1\n"
    assert attach.end() == 0
    suite.finish()


def test_killed(serve: Callable[..., Suite], tmp_path: Path, running: ExitStack, postgres: Postgres) -> None:
    """When the suite was killed, psql ends with an error; who comes then waits until there is another one."""
    suite = suite_for(serve, postgres.port)
    attach = running.enter_context(Attach(suite.ports["sessions"], tmp_path)).started()
    client = running.enter_context(waiting_psql(attach.port, tmp_path))
    wait_until(lambda: sleeping(postgres), "psql was asking")
    suite.end(SIGKILL)
    wait_until(lambda: "connection refused" in attach.output, "the suite could not be reached")
    again = suite_for(lambda text, ports: serve(text, ports=suite.ports), postgres.port)
    assert client.wait() == 2
    wait_until(lambda: "(no-session)" in attach.output, "why was told")
    assert psql(attach.port, "SELECT 1") == "1\n"
    assert attach.end() == 0
    again.finish()


def test_taken(serve: Callable[..., Suite], tmp_path: Path, running: ExitStack, postgres: Postgres) -> None:
    """Of two that attach to one session, over TLS, the second has it, and who had it before is told."""
    set_password(str(tmp_path / "passwords"), "alice", "open sesame")
    (tmp_path / "password").write_text("open sesame\n")
    pem = write_certificate(tmp_path)
    plain, secure = "tcp:<sessions>:interface=127.0.0.1", f"ssl:<tls>:privateKey={pem}:interface=127.0.0.1"
    text = SUITE.format(timeout="2m").replace("anonymous = true", "")
    suite = serve(
        text.replace(f'"{plain}"', f'["{plain}", "{secure}"]') + "[auth]\npasswords = 'passwords'\n",
        ports={"server": postgres.port},
    )
    place = rf"tls:localhost:{suite.ports['tls']}:trustRoots={tmp_path}"
    with socket.create_connection(("127.0.0.1", suite.ports["sessions"])) as asking:
        asking.sendall(b"LOGIN alice open sesame\nOPEN\n")
        with asking.makefile("r") as answers:
            assert answers.readline() == "OK alice\n"
            session = answers.readline().split()[1]
    login = ("--user", "alice", "--password-file", str(tmp_path / "password"))
    env = {"TCPSUITE_SESSION": session}
    first, second = (
        running.enter_context(Attach(place, tmp_path, *login, env=env)).started() for _ in range(2)
    )
    client = running.enter_context(waiting_psql(first.port, tmp_path))
    wait_until(lambda: sleeping(postgres), "psql was asking")
    assert psql(second.port, "SELECT 1") == "1\n"
    assert client.wait() == 2
    wait_until(lambda: first.told, "why was told")
    assert first.told == ["connection 1 is reset: somebody else has attached to its session (taken)"]
    for _ in range(5):
        assert psql(second.port, "SELECT 1") == "1\n", "one behind the other"
    assert second.told == []
    assert (first.end(), second.end()) == (0, 0)
    suite.finish()


def test_end(serve: Callable[..., Suite], tmp_path: Path, running: ExitStack, postgres: Postgres) -> None:
    """When the tool is told to end, psql is cut from its server, and the session is closed."""
    suite = suite_for(serve, postgres.port)
    attach = running.enter_context(Attach(suite.ports["sessions"], tmp_path)).started()
    client = running.enter_context(waiting_psql(attach.port, tmp_path))
    wait_until(lambda: sleeping(postgres), "psql was asking")
    assert attach.end() == 0
    assert client.wait() == 2
    assert no_sessions(suite)
    assert suite.status()["sessions"]["connected"] == 0
    suite.finish()


@pytest_twisted.ensureDeferred
async def test_endpoint(serve: Callable[..., Suite], running: ExitStack) -> None:
    """The client is an endpoint, too: a protocol of this process is attached, or told why it cannot be."""
    port = free_port()
    suite = serve(SUITE.format(timeout="2m"), ports={"server": port, "echo": port})
    cutter = running.enter_context(Cutter(suite.ports["sessions"]))
    events: list[Event] = []
    address = server_endpoint(reactor, f"tcp:127.0.0.1:{cutter.port}")
    endpoint = AttachClient(reactor, address, patience=5.0, observer=events.append)
    client: Client = await connectProtocol(endpoint, Client())
    for made in range(3):
        assert await client.ask(b"a question", 10) == b"a question"
        cutter.cut()
        wait_until(partial(cutter.has_cut, made + 1), "it was cut")
    assert await client.ask(b"the last one", 12) == b"the last one"
    await client.leave()
    nobody = AttachClient(reactor, address, session="-" * 43)
    with pytest.raises(ProtocolError, match="no such session"):
        await connectProtocol(nobody, Client())
    await endpoint.stop()
    assert not any(isinstance(event, Cut) for event in events)
    await deferToThread(suite.finish)  # what is closed here is closed in a turn of the reactor


@pytest_twisted.ensureDeferred
async def test_the_page(
    serve: Callable[..., Suite], tmp_path: Path, running: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program in docs/attach.md asks a Redis, and leaves no session behind."""
    need("redis-server")
    redis = running.enter_context(Redis(free_port(), tmp_path)).started()
    suite = suite_for(serve, redis.port)
    page = (Path(__file__).parents[2] / "docs" / "attach.md").read_text()
    (code,) = re.findall(r"^```python\n# ping\.py\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"__name__": "ping"}
    exec(compile(code, "ping.py", "exec"), names)
    await names["main"](reactor, f"tcp:127.0.0.1:{suite.ports['sessions']}", None)
    assert capsys.readouterr().out == "b'+PONG\\r\\n'\n"
    assert no_sessions(suite)
    await deferToThread(suite.finish)


def test_the_page_tells_every_option() -> None:
    """Each option of the command is in the page's table, and none that there is not."""
    page = (Path(__file__).parents[2] / "docs" / "attach.md").read_text()
    told = re.findall(r"^\| `(--[\w-]+)", page, re.MULTILINE)
    assert told == [option.opts[0] for option in attach.params if option.opts[0].startswith("--")]

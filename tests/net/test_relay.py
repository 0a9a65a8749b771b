"""What passes between a client and a server, on real sockets."""

from __future__ import annotations

import hashlib
import select
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from tcpsuite.core.connections import Reason
from tcpsuite.net.pool_options import PoolOptions
from tests.support.gateways import (
    Gateway,
    accept,
    finish,
    listening,
    read_all,
    read_until_reset,
    reset,
)

MEGABYTE = 1 << 20
WAYS = pytest.mark.parametrize("way", ["to the server", "to the client"])


def _sorted(way: str, client: socket.socket, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Who acts, and who sees it."""
    return (client, server) if way == "to the server" else (server, client)


def _meet(actor: socket.socket, witness: socket.socket) -> None:
    """See that the two are joined."""
    witness.sendall(b"hello")
    assert actor.recv(100) == b"hello"


def _send_until(error: type[OSError], peer: socket.socket, block: bytes) -> None:
    with suppress(error):
        while True:
            peer.sendall(block)


async def _relayed(scene, **options):
    """The record of one connection on which ``scene(client, server)`` was played."""
    with listening() as server:
        async with Gateway(server, **options) as gateway:
            await gateway.play(scene, server)
    return gateway.records[0]


@WAYS
@pytest_twisted.ensureDeferred
async def test_a_fin_is_a_fin_and_the_other_half_goes_on(way):
    """Behind the last byte of one side the other reads its end, and may go on talking as long as it likes."""

    def scene(client, server):
        actor, witness = _sorted(way, client, server)
        actor.sendall(b"question")
        finish(actor)
        assert read_all(witness) == b"question"
        for _ in range(3):
            witness.sendall(b"answer")
            assert actor.recv(100) == b"answer"
        finish(witness)
        assert read_all(actor) == b""

    record = await _relayed(scene)
    expected = Reason.CLIENT_CLOSED if way == "to the server" else Reason.SERVER_CLOSED
    assert (record.reason, record.detail) == (expected, "")
    assert (record.bytes_in, record.bytes_out) == ((8, 18) if way == "to the server" else (18, 8))


@WAYS
@pytest_twisted.ensureDeferred
async def test_nothing_before_a_fin_is_lost(way):
    """Megabytes right before a FIN arrive, to the last byte."""
    payload = bytes(range(256)) * (8 * MEGABYTE // 256)

    def scene(client, server):
        actor, witness = _sorted(way, client, server)

        def act():
            actor.sendall(payload)
            finish(actor)

        acting = threading.Thread(target=act)
        acting.start()
        assert read_all(witness) == payload
        acting.join()

    await _relayed(scene)


@WAYS
@pytest_twisted.ensureDeferred
async def test_a_reset_is_a_reset(way):
    """One side's reset is seen as a reset by the other, and the record says whose it was."""

    def scene(client, server):
        actor, witness = _sorted(way, client, server)
        _meet(actor, witness)
        reset(actor)
        assert read_until_reset(witness) == b""

    record = await _relayed(scene)
    assert record.reason is (Reason.CLIENT_RESET if way == "to the server" else Reason.SERVER_RESET)
    assert record.detail == ""


@pytest.mark.parametrize("answers", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_server_is_blamed_for_a_reset_without_a_word(answers):
    """A server that resets is blamed when it has said nothing on that connection, and only then."""

    def scene(client, server):
        client.sendall(b"question")
        assert server.recv(100) == b"question"
        if answers:
            _meet(client, server)
        reset(server)
        assert read_until_reset(client) == b""

    with listening() as server:
        async with Gateway(server) as gateway:
            await gateway.play(scene, server)
    blamed = gateway.upstream.servers[0]
    expected = (0, "") if answers else (1, "reset before it said a word")
    assert (blamed.resets, blamed.last_error) == expected
    assert gateway.records[0].reason is Reason.SERVER_RESET


@WAYS
@pytest_twisted.ensureDeferred
async def test_what_was_said_right_before_a_reset_arrives(way):
    """The bytes before a reset are relayed before it."""

    def scene(client, server):
        actor, witness = _sorted(way, client, server)
        _meet(actor, witness)
        actor.sendall(b"last words")
        reset(actor)
        assert read_until_reset(witness) == b"last words"

    await _relayed(scene)


@WAYS
@pytest_twisted.ensureDeferred
async def test_a_reset_behind_a_fin_is_a_reset(way):
    """Who finished and then resets, while the other still talks, is seen resetting."""

    def scene(client, server):
        actor, witness = _sorted(way, client, server)
        finish(actor)
        assert read_all(witness) == b""
        reset(actor)
        # A connection whose reading half is over is looked at again when there is something to write to it.
        _send_until(ConnectionError, witness, b"x" * 1000)

    record = await _relayed(scene)
    assert record.reason is (Reason.CLIENT_RESET if way == "to the server" else Reason.SERVER_RESET)


@WAYS
@pytest_twisted.ensureDeferred
async def test_a_slow_reader_slows_the_sender(way):
    """While one side does not read, the other cannot send more than buffers hold; then all of it arrives."""
    block = bytes(range(256)) * 4096
    sent, seen = hashlib.sha256(), hashlib.sha256()

    def send(peer: socket.socket, size: int) -> int:
        """Send so much, or what can be sent until it gets stuck; gives what is left."""
        while size:
            try:
                done = peer.send(block[: min(len(block), size)])
            except TimeoutError:
                break
            sent.update(block[:done])
            size -= done
        return size

    def scene(client, server):
        actor, witness = _sorted(way, client, server)
        actor.settimeout(0.5)
        left = send(actor, 50 * MEGABYTE)
        assert left > 30 * MEGABYTE
        actor.settimeout(20)

        def act():
            send(actor, left)
            finish(actor)

        acting = threading.Thread(target=act)
        acting.start()
        while data := witness.recv(1 << 16):
            seen.update(data)
        acting.join()

    await _relayed(scene)
    assert seen.digest() == sent.digest()


@WAYS
@pytest_twisted.ensureDeferred
async def test_a_reset_is_noticed_while_the_other_takes_nothing(way, monkeypatch):
    """A side that is not read, because the other one takes nothing, is seen resetting all the same."""
    monkeypatch.setattr("tcpsuite.services.gateway.LOOK_INTERVAL", 0.1)

    def scene(client, server):
        actor, witness = _sorted(way, client, server)
        _meet(actor, witness)
        actor.settimeout(0.3)
        _send_until(TimeoutError, actor, b"x" * MEGABYTE)
        reset(actor)
        # Nothing is read before the reset has come, for that would let the relay read on.
        poll = select.poll()
        poll.register(witness, 0)
        assert poll.poll(10_000)

    record = await _relayed(scene)
    assert record.reason is (Reason.CLIENT_RESET if way == "to the server" else Reason.SERVER_RESET)
    assert record.detail == "while the other side took nothing"


@WAYS
@pytest_twisted.ensureDeferred
async def test_one_who_is_silent_behind_a_fin_is_cut(way):
    """When nothing moves for the time-out behind a FIN, both sides are reset."""

    def scene(client, server):
        actor, witness = _sorted(way, client, server)
        finish(actor)
        assert read_all(witness) == b""
        assert read_until_reset(actor) == b""
        _send_until(ConnectionError, witness, b"too late")

    record = await _relayed(scene, fin_timeout=0.2)
    who = "client" if way == "to the server" else "server"
    assert record.reason is Reason.FIN_TIMEOUT
    assert record.detail == f"nothing moved for 0.2 s after the {who}'s FIN"


@pytest_twisted.ensureDeferred
async def test_one_who_takes_nothing_behind_a_fin_is_cut():
    """Bytes that nobody takes hold nothing for ever behind a FIN."""

    def scene(client, server):
        finish(client)
        assert read_all(server) == b""
        server.settimeout(0.3)
        _send_until(TimeoutError, server, b"x" * MEGABYTE)
        server.settimeout(20)
        _send_until(ConnectionError, server, b"x" * MEGABYTE)
        with pytest.raises(ConnectionResetError):
            read_all(client)

    record = await _relayed(scene, fin_timeout=0.5)
    assert record.reason is Reason.FIN_TIMEOUT


@pytest_twisted.ensureDeferred
async def test_one_who_takes_slowly_behind_a_fin_has_its_time():
    """Many times the time-out behind the client's FIN a server that still takes what was sent gets all of it,
    and its answer arrives.
    """
    size = 4 * MEGABYTE

    def scene(client, server):
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.sendall(bytes(size))
        finish(client)
        taken = 0
        while data := server.recv(1 << 16):
            taken += len(data)
            pause.wait(0.02)
        assert taken == size
        server.sendall(b"done")
        finish(server)
        assert read_all(client) == b"done"

    pause = threading.Event()
    record = await _relayed(scene, fin_timeout=0.3)
    assert record.reason is Reason.CLIENT_CLOSED


@pytest.mark.parametrize("mode", ["on_demand", "preconnect"])
@pytest_twisted.ensureDeferred
async def test_many_connections_leave_nothing(mode):
    """A hundred short connections, one after the other, end as they should, and are counted."""
    with listening() as listener:

        def answer(peer):
            with peer:
                peer.sendall(read_all(peer))

        def serve():
            with suppress(OSError), ThreadPoolExecutor() as pool:
                while True:
                    pool.submit(answer, accept(listener))

        def scene():
            for number in range(100):
                with gateway.connect() as client:
                    client.sendall(b"%d" % number)
                    finish(client)
                    assert read_all(client) == b"%d" % number

        serving = threading.Thread(target=serve)
        serving.start()
        async with Gateway(listener, pool=PoolOptions(mode)) as gateway:
            await deferToThread(scene)
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()
    assert [record.reason for record in gateway.records] == [Reason.CLIENT_CLOSED] * 100
    assert gateway.upstream.servers[0].connections == 100

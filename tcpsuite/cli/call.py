"""``tcpsuite call``: one request to a message service, from the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from tcpsuite.admin.explain import plain
from tcpsuite.cli.words import client_string, seconds_of
from tcpsuite.core.messages.framing import MAX_MESSAGE

if TYPE_CHECKING:
    from tcpsuite.net.client import Client

LONGEST = MAX_MESSAGE - 1024
"""Bytes of a body: with its method it fits into what a service takes, unless that was told otherwise."""


@click.command()
@click.argument("endpoint")
@click.argument("method")
@click.argument("body", required=False, default="", metavar="[BODY|@FILE]")
@click.option("--timeout", default="30s", metavar="TIME", help="How long the answer may take.")
@click.option("--repeat", is_flag=True, help="Ask again when the connection is lost before the answer.")
def call(endpoint: str, method: str, body: str, timeout: str, repeat: bool) -> None:
    """Ask a message service, and print the answer as it is.

    ENDPOINT is HOST:PORT or a Twisted endpoint string such as mux:tcp:HOST:PORT or tls:HOST:PORT.  The body
    is BODY, or what is in FILE; @- is what comes on stdin.

    The exit status is 1 when there is no answer, or when it is an error: its code and text are told.
    """
    from tcpsuite.config.endpoints import check_client
    from tcpsuite.core.messages.wire import name
    from tcpsuite.options import OptionError

    try:
        place = check_client(client_string(endpoint))
    except OptionError as error:
        raise click.BadParameter(str(error), param_hint="ENDPOINT") from None
    try:
        name(method)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="METHOD") from None
    answer = _ask(place, method, _body(body), seconds_of(timeout, "--timeout"), repeat)
    sys.stdout.buffer.write(answer)
    if sys.stdout.isatty() and not answer.endswith(b"\n"):
        click.echo()
    sys.stdout.flush()


def _body(text: str) -> bytes:
    if not text.startswith("@"):
        return text.encode(errors="surrogateescape")
    try:
        with click.open_file(text[1:], "rb") as source:
            body: bytes = source.read(LONGEST + 1)
    except OSError as error:
        raise click.BadParameter(f"{text[1:]}: {error.strerror}", param_hint="BODY") from None
    if len(body) > LONGEST:
        raise click.BadParameter(f"{text[1:]}: longer than {LONGEST} bytes", param_hint="BODY")
    return body


def _ask(place: str, method: str, body: bytes, timeout: float, repeat: bool) -> bytes:
    """The answer.

    :raises click.ClickException: when there is none, or it is an error.
    """
    from twisted.internet import reactor as _reactor
    from twisted.internet.defer import Deferred

    from tcpsuite.errors import RequestFailed, RequestLost, TcpsuiteError
    from tcpsuite.net.client import connect

    reactor: Any = _reactor
    answers: list[bytes] = []
    faults: list[str] = []

    async def ask() -> None:
        client: Client | None = None
        try:
            client = await connect(place, reactor, received=lambda method, body: None)
            answers.append(await client.request(method, body, timeout, repeat=repeat))
        except RequestFailed as error:
            faults.append(f"{error.code}: {error}")
        except RequestLost as error:
            faults.append(f"{error}{'; it may have run' if error.may_have_run else ''}")
        except TcpsuiteError as error:
            faults.append(str(error))
        finally:
            if client is not None:
                await client.close()
            reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(ask()))
    reactor.run()
    if faults:
        raise click.ClickException(f"{place}: {plain(faults[0])}")
    if not answers:
        raise click.Abort
    return answers[0]

"""``tcpsuite attach``: a local address whose connections outlive what carries them to a session's server."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tcpsuite.admin.explain import plain
from tcpsuite.cli.words import HOST_AND_PORT, client_string, escaped, seconds_of
from tcpsuite.core.attaching.dialogue import Login
from tcpsuite.options import OptionError, Secret

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "TCPSUITE_PASSWORD"
SESSION = "TCPSUITE_SESSION"
"""The environment's words: a command line is for all to see."""
_LONGEST = 16 * 1024
"""Bytes of a line of a file that holds a secret."""
_SECRET = ("tls", "ssl", "unix")
"""Endpoints on which nobody overhears what is said, wherever they lead; of others nothing is known."""
_OPEN_TO_ALL = re.compile(r"unix:(?!.*:mode=)")


@click.command()
@click.pass_context
@click.argument("endpoint")
@click.option(
    "--listen",
    required=True,
    metavar="ADDRESS",
    help="Where programs connect: PORT, HOST:PORT, unix:PATH, or a Twisted endpoint string.",
)
@click.option("--session", envvar=SESSION, default="", metavar="ID", help="The session to use.")
@click.option(
    "--session-file", metavar="FILE", help="A file whose first line is the session's id; - for stdin."
)
@click.option("--user", metavar="NAME", help="Who you are there; without it, anonymous.")
@click.option("--password-file", metavar="FILE", help="A file whose first line is the password.")
@click.option("--allow-plaintext", is_flag=True, help="Send the password to another machine without TLS.")
@click.option("--patience", default="2m", metavar="TIME", help="How long a connection waits for the suite.")
def attach(
    context: click.Context,
    endpoint: str,
    listen: str,
    session: str,
    session_file: str | None,
    user: str | None,
    password_file: str | None,
    allow_plaintext: bool,
    patience: str,
) -> None:
    """Give programs connections that survive the loss of the network, and of other things on the way.

    Each program that connects to ADDRESS speaks with the server behind the session service at ENDPOINT,
    HOST:PORT or a Twisted endpoint string such as tls:HOST:PORT.  When what carries its bytes there is lost,
    another connection is made, and it goes on where it stopped.

    With a session's id programs use that session, one at a time; without one, each has a session of its own.

    A session's id may also stand in TCPSUITE_SESSION, and a password in TCPSUITE_PASSWORD; without those, the
    password is asked for on the terminal.
    """
    from tcpsuite.config.endpoints import check_client, check_server

    suite = _checked(check_client, client_string(endpoint), "ENDPOINT")
    place = _checked(check_server, _server_string(listen), "--listen")
    if session_file is not None:
        if context.get_parameter_source("session") is ParameterSource.COMMANDLINE:
            raise click.UsageError("a session has one id: --session, or --session-file")
        if session_file == password_file == "-":
            raise click.UsageError("standard input is for one of --session-file and --password-file")
        session = _first_line(session_file, "--session-file")
        if not session:
            raise click.BadParameter(f"{session_file}: no id in it", param_hint="--session-file")
    if password_file is not None and user is None:
        raise click.UsageError("a password is a user's: --user NAME")
    wait = seconds_of(patience, "--patience")
    if user is not None and not allow_plaintext and _is_overheard(suite):
        raise click.UsageError(f"{suite} would send the password as it is: use tls:, or --allow-plaintext")
    try:
        login = None if user is None else Login(user, Secret(_password(password_file)))
        _serve(suite, place, login, session, wait)
    except OptionError as error:
        raise click.UsageError(str(error)) from None


def _serve(suite: str, place: str, login: Login | None, session: str, patience: float) -> None:
    if sys.platform == "linux" and "twisted.internet.reactor" not in sys.modules:
        from tcpsuite.net.reactor import install

        install()
    from twisted.internet import reactor

    from tcpsuite.net.attaching.client import AttachClient
    from tcpsuite.net.connecting import server_endpoint
    from tcpsuite.net.endpoints import address_text, listen_endpoint, listen_failure
    from tcpsuite.net.signals import end_on_signals
    from tcpsuite.net.steady import make_steady
    from tcpsuite.tap import raise_descriptor_limit

    make_steady(reactor)
    raise_descriptor_limit()
    client = AttachClient(
        reactor,
        server_endpoint(reactor, suite),
        login=login,
        session=session,
        patience=patience,
        observer=lambda event: click.echo(plain(str(event)), err=True),
    )
    failures: list[str] = []

    def listening(port: Any) -> None:
        reactor.addSystemEventTrigger("before", "shutdown", port.stopListening)
        reactor.addSystemEventTrigger("before", "shutdown", client.stop)
        click.echo(f"listening on {address_text(port.getHost())}")

    def failed(failure: Any) -> None:
        failures.append(f"{place}: {listen_failure(place, failure.value)}")
        reactor.stop()

    def start() -> None:
        listen_endpoint(reactor, place).listen(client).addCallbacks(listening, failed)

    reactor.callWhenRunning(start)
    end_on_signals(reactor, client.cut)
    reactor.run()
    if failures:
        raise click.ClickException(failures[0])


def _server_string(text: str) -> str:
    """``PORT`` and ``HOST:PORT`` as endpoint strings, and a UNIX socket for nobody else.

    Who connects there is the user who has logged in: so all that does not say otherwise is for this machine,
    and this user.
    """
    match = HOST_AND_PORT.fullmatch(text)
    if match and match[1] != "tcp":
        host = match[1] or "localhost"
        return f"tcp:{match[2]}:interface={escaped('127.0.0.1' if host == 'localhost' else host)}"
    return f"{text}:mode=600" if _OPEN_TO_ALL.match(text) else text


def _is_overheard(suite: str) -> bool:
    """Whether what is said there may cross a network as it is said."""
    from ipaddress import ip_address

    from tcpsuite.net.endpoints import Parts, carrier_of

    while carrier := carrier_of(suite):
        suite = carrier
    parts = Parts.of(suite)
    host = parts.given("host", "port").get("host", "")
    try:
        here = ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    return parts.type not in _SECRET and not (parts.type == "tcp" and here)


def _checked(check: Callable[[str], str], text: str, argument: str) -> str:
    try:
        return check(text)
    except OptionError as error:
        raise click.BadParameter(str(error), param_hint=argument) from None


def _password(file: str | None) -> str:
    if file is not None:
        return _first_line(file, "--password-file")
    if PASSWORD in os.environ:
        return os.environ[PASSWORD]
    if not sys.stdin.isatty():
        raise click.UsageError(f"a user has a password: --password-file, or {PASSWORD} in the environment")
    return str(click.prompt("Password", hide_input=True, err=True))


def _first_line(file: str, argument: str) -> str:
    try:
        with open(0 if file == "-" else file, "rb", closefd=file != "-") as source:
            line = source.readline(_LONGEST)
            return line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise click.BadParameter(f"{file}: {why}", param_hint=argument) from None

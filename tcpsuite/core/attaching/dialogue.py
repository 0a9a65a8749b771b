"""What is said to the session service before a connection carries an attached one: line by line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import field, frozen

from tcpsuite.core.attaching.asking import NEW, Granted
from tcpsuite.core.passwords import is_password, is_user
from tcpsuite.errors import ProtocolError
from tcpsuite.options import OptionError, Secret

if TYPE_CHECKING:
    from collections.abc import Generator

_PASSING = frozenset({"limit", "store", "internal"})

_ID = re.compile("[A-Za-z0-9_-]{43}")
_GRANTED = re.compile(r"([0-9A-Fa-f]{16}) ([0-9]{1,19}) ([0-9]{1,19}) ([0-9]{1,19})")
_SHOWN = 60
"""Characters of an answer that nobody understands which are shown."""


@frozen
class Login:
    """Who one is.

    :raises OptionError: when no user can be called so, or a password cannot be sent.
    """

    user: str = field()
    password: Secret = field(converter=Secret)

    @user.validator
    def _can_be_said(self, _attribute: object, user: str) -> None:
        if not is_user(user):
            raise OptionError("a user's name", user)

    @password.validator
    def _can_be_sent(self, _attribute: object, password: str) -> None:
        if not is_password(password):
            raise OptionError("a password of one line, of at most 8 KiB", "something else")


class Introduction:
    """A login as it is said to one suite, on any number of connections.

    :param login: ``None`` to stay anonymous.
    :ivar was_good: whether it was, at least once.
    """

    def __init__(self, login: Login | None = None) -> None:
        self.was_good = False
        self._login = login

    def __repr__(self) -> str:
        who = "anonymous" if self._login is None else f"as {self._login.user}"
        return f"<Introduction {who}{' was good' if self.was_good else ''}>"

    def say(self) -> Generator[str, str, None]:
        """See :class:`Dialogue`."""
        if self._login is not None:
            _good((yield f"LOGIN {self._login.user} {self._login.password}"))
            self.was_good = True


class Dialogue:
    """The dialogues of one attached connection: on each of its carriers, and at its end.

    Each is a generator of lines to send, which is sent the answer to each, as lines too.  It raises
    :class:`~tcpsuite.errors.ProtocolError` for a refusal, with its code and its text, and with the code
    ``answer`` for what is no answer of a session service.

    :param introduction: of whom it is, which it may share with others.
    :param session: the id of the session; empty to open one.
    :ivar session: its id, once there is one.
    :ivar connection: the mark of the connection, once there is one.
    :raises OptionError: when no session can have that id.
    """

    def __init__(self, introduction: Introduction, session: str = "") -> None:
        if session and not _ID.fullmatch(session):
            raise OptionError("a session's id of 43 letters, digits, - and _", "something else")
        self.session = session
        self.connection = NEW
        self.own = False
        self._introduction = introduction

    def __repr__(self) -> str:
        # An id is a secret.
        return f"<Dialogue on the connection {self.connection} of {'its own' if self.own else 'a'} session>"

    def may_pass(self, refusal: ProtocolError) -> bool:
        """Whether what was refused may be granted soon.

        A login that was good before, on whichever connection, may be so again: who fails too often at the
        same address may be another.
        """
        return refusal.code in _PASSING or (refusal.code == "login" and self._introduction.was_good)

    def attach(self, received: int, window: int) -> Generator[str, str, Granted]:
        """Go on with the connection, or have it made.

        :param received: what of it has come here.
        :param window: bytes that may be under way to here.
        """
        yield from self._introduction.say()
        if self.session:
            _good((yield f"RESUME {self.session}"))
        else:
            session = _good((yield "OPEN"))
            if not _ID.fullmatch(session):
                raise _nonsense(session)
            self.session, self.own = session, True
        answer = _good((yield f"ATTACH {self.connection} {received} {window}"))
        match = _GRANTED.fullmatch(answer)
        if match is None:
            raise _nonsense(answer)
        granted = Granted(match[1], *map(int, match.groups()[1:]))
        if granted.sent != received or self.connection not in (NEW, granted.connection):
            raise _nonsense(answer)
        self.connection = granted.connection
        return granted

    def close(self) -> Generator[str, str, None]:
        """End the session, if it was opened here."""
        if self.own:
            yield from self._introduction.say()
            _good((yield f"RESUME {self.session}"))
            _good((yield "CLOSE"))


def _good(answer: str) -> str:
    """What stands behind ``OK``.

    :raises ProtocolError: when that is not the answer.
    """
    word, _, text = answer.partition(" ")
    if word == "ERR":
        code, _, why = text.partition(" ")
        raise ProtocolError(code, why)
    if word != "OK":
        raise _nonsense(answer)
    return text


def _nonsense(answer: str) -> ProtocolError:
    return ProtocolError("answer", f"this is no session service's answer: {answer[:_SHOWN]!r}")

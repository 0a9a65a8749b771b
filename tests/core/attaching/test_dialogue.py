"""What is said to the session service, and what its answers mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.attaching.asking import NEW, Granted
from tcpsuite.core.attaching.dialogue import Dialogue, Introduction, Login
from tcpsuite.errors import ProtocolError
from tcpsuite.options import OptionError, Secret

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")

ALICE = Login("alice", Secret("open sesame"))
ID = "EKqHNtDDRFoUCV4vXYUGUM18p-4OBEdvuW4JxLrGLsk"
MARK = "0123456789abcdef"


def play(dialogue: Generator[str, str, T], *answers: str) -> tuple[list[str], T]:
    """What is said until all is said, and what comes of it."""
    said = []
    left = iter(answers)
    try:
        line = next(dialogue)
        while True:
            said.append(line)
            line = dialogue.send(next(left, ""))
    except StopIteration as end:
        return said, end.value


class DialogueTests(SynchronousTestCase):
    """The lines, and what becomes of it."""

    def test_session_of_its_own(self) -> None:
        """Who has no session opens one, and goes on with that and its connection."""
        dialogue = Dialogue(Introduction(ALICE))
        said, granted = play(
            dialogue.attach(0, 1000), "OK alice", f"OK {ID}", "OK 0123456789abcdef 0 0 262144"
        )
        self.assertEqual(said, ["LOGIN alice open sesame", "OPEN", "ATTACH new 0 1000"])
        self.assertEqual(granted, Granted(MARK, 0, 0, 262144))
        said, granted = play(dialogue.attach(7, 1000), "OK alice", "OK 0", f"OK {MARK} 12 7 500")
        self.assertEqual(said[1:], [f"RESUME {ID}", f"ATTACH {MARK} 7 1000"])
        self.assertEqual((granted.received, granted.sent, granted.window), (12, 7, 500))
        said, _ = play(dialogue.close(), "OK alice", "OK 0", "OK")
        self.assertEqual(said[1:], [f"RESUME {ID}", "CLOSE"])

    def test_session_given(self) -> None:
        """A session that was there before is used, and left as it is."""
        dialogue = Dialogue(Introduction(), ID)
        said, _ = play(dialogue.attach(0, 1000), "OK 3", f"OK {MARK} 0 0 1")
        self.assertEqual(said, [f"RESUME {ID}", "ATTACH new 0 1000"])
        self.assertEqual(play(dialogue.close()), ([], None))

    def refused(self, dialogue: Dialogue, *answers: str) -> tuple[str, str]:
        """The code and the text of the refusal."""
        with self.assertRaises(ProtocolError) as caught:
            play(dialogue.attach(0, 1000), *answers)
        return caught.exception.code, str(caught.exception)

    def test_refusals(self) -> None:
        """A refusal is told with its code and its text, and leaves what was known as it was."""
        dialogue = Dialogue(Introduction(ALICE))
        self.assertEqual(self.refused(dialogue, "ERR login it is not right"), ("login", "it is not right"))
        self.assertEqual(self.refused(dialogue, "OK alice", "ERR full"), ("full", ""))
        self.assertEqual((dialogue.session, dialogue.connection), ("", NEW))
        self.assertEqual(self.refused(dialogue, "OK alice", f"OK {ID}", "ERR attach none")[0], "attach")
        self.assertEqual((dialogue.session, dialogue.connection), (ID, NEW))

    def test_passing(self) -> None:
        """Some refusals may be none soon."""
        dialogue = Dialogue(Introduction(), ID)
        passing = {
            code: dialogue.may_pass(ProtocolError(code, ""))
            for code in (
                "limit",
                "store",
                "internal",
                "login",
                "lost",
                "no-session",
                "attach",
                "full",
                "answer",
            )
        }
        self.assertEqual([code for code, may in passing.items() if may], ["limit", "store", "internal"])

    def test_login_that_was_good(self) -> None:
        """The refusal of a login may be none soon when it was good before, on whichever connection."""
        introduction = Introduction(ALICE)
        dialogues = Dialogue(introduction, ID), Dialogue(introduction)
        refusal = ProtocolError("login", "too many failed logins; try again in 6 s")
        self.assertEqual(self.refused(dialogues[0], f"ERR login {refusal}"), ("login", str(refusal)))
        self.assertEqual([dialogue.may_pass(refusal) for dialogue in dialogues], [False, False])
        self.assertEqual(self.refused(dialogues[0], "OK alice", "ERR no-session")[0], "no-session")
        self.assertEqual([dialogue.may_pass(refusal) for dialogue in dialogues], [True, True])
        self.assertFalse(dialogues[0].may_pass(ProtocolError("lost", "")))

    def test_login_asked_for(self) -> None:
        """Who has none to say, where one is wanted, need not try again."""
        dialogue = Dialogue(Introduction(), ID)
        play(dialogue.attach(0, 1), "OK 0", f"OK {MARK} 0 0 1")
        self.assertFalse(dialogue.may_pass(ProtocolError("login", "log in first")))

    def test_nonsense(self) -> None:
        """What no session service answers is told, and shown in part."""
        for answers in (
            ("220 mail.example.com ESMTP",),
            ("HTTP/1.1 400 Bad Request",),
            ("OK alice", "OK short"),
            ("OK alice", f"OK {ID}", "OK"),
            ("OK alice", f"OK {ID}", f"OK {MARK} 0 0"),
            ("OK alice", f"OK {ID}", f"OK {MARK} 0 0 x"),
            ("OK alice", f"OK {ID}", f"OK {MARK} 0 5 1"),
        ):
            code, text = self.refused(Dialogue(Introduction(ALICE)), *answers)
            self.assertEqual(code, "answer")
            self.assertIn("no session service", text)
        self.assertLess(len(self.refused(Dialogue(Introduction()), "x" * 10_000)[1]), 150)

    def test_another_connection(self) -> None:
        """A connection that was not asked for is none."""
        dialogue = Dialogue(Introduction(), ID)
        play(dialogue.attach(0, 1), "OK 0", f"OK {MARK} 0 0 1")
        self.assertEqual(self.refused(dialogue, "OK 0", "OK ffffffffffffffff 0 0 1")[0], "answer")
        self.assertEqual(dialogue.connection, MARK)

    def test_what_cannot_be(self) -> None:
        """What would not be one line, or one word of it, is refused before it is said."""
        for user, password in (("a b", "x"), ("", "x"), ("alice", ""), ("alice", "x\nCLOSE")):
            self.assertRaises(OptionError, Login, user, Secret(password))
        for session in ("x", f"{ID}\nCLOSE", f"{ID} ", "-" * 44):
            self.assertRaises(OptionError, Dialogue, Introduction(), session)

    def test_secrets(self) -> None:
        """Neither the password nor the id is shown."""
        dialogue = Dialogue(Introduction(ALICE), ID)
        self.assertNotIn(ID, repr(dialogue))
        self.assertNotIn("sesame", repr(ALICE))
        introduction = Introduction(ALICE)
        self.assertEqual(repr(introduction), "<Introduction as alice>")
        play(introduction.say(), "OK alice")
        self.assertEqual(repr(introduction), "<Introduction as alice was good>")
        self.assertEqual(repr(Introduction()), "<Introduction anonymous>")
        self.assertEqual(repr(Dialogue(Introduction())), "<Dialogue on the connection new of a session>")

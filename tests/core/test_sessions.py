"""The rules of sessions."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.sessions import (
    ANONYMOUS,
    DataLimits,
    Lifetime,
    Session,
    check_key,
    check_owner,
    digest_of,
    may_resume,
    new_id,
    size_of,
    weight,
)
from tcpsuite.errors import ProtocolError


class IdTests(SynchronousTestCase):
    """Ids are secrets."""

    def test_text(self) -> None:
        """An id is 43 characters that need no quoting in a line, a URL or a shell."""
        self.assertEqual(new_id(bytes(32)), "A" * 43)
        self.assertEqual(new_id(b"\xff" * 32), "_" * 42 + "8")

    def test_too_few_bits(self) -> None:
        """An id of fewer or more than 256 bits is not made."""
        for length in (0, 31, 33):
            error = self.assertRaises(ValueError, new_id, bytes(length))
            self.assertEqual(str(error), f"an id takes 32 random bytes, got {length}")

    def test_digest(self) -> None:
        """What is kept of an id is the SHA-256 of its text, whatever a peer sends as one."""
        self.assertEqual(digest_of("abc"), sha256(b"abc").digest())
        self.assertEqual(digest_of("☃"), sha256("☃".encode()).digest())


class ResumeTests(SynchronousTestCase):
    """Who may go on with a session."""

    def may(self, opened_by: str, user: str, *, session_id: str = "secret") -> bool:
        """Whether ``user`` may resume what ``opened_by`` opened."""
        session = Session(digest_of("secret"), opened_by, created=900.0, used=1000.0)
        return may_resume(session, session_id, user)

    def test_the_one_who_opened_it(self) -> None:
        """A session works for the user who opened it, and for no other."""
        self.assertTrue(self.may("alice", "alice"))
        self.assertFalse(self.may("alice", "bob"))
        self.assertFalse(self.may("alice", "Alice"))
        self.assertFalse(self.may("alice", ""))

    def test_the_right_id(self) -> None:
        """The id is compared, even when the store found the session by something else."""
        self.assertFalse(self.may("alice", "alice", session_id="other"))

    def test_no_session(self) -> None:
        """Where there is none nobody goes on, whoever they are."""
        for user in ("alice", ANONYMOUS, ""):
            self.assertFalse(may_resume(None, "secret", user))

    def test_anonymous(self) -> None:
        """What was opened without a login works for whoever has not logged in, and for nobody else."""
        self.assertTrue(self.may("~", ANONYMOUS))
        self.assertTrue(self.may("~alice", ANONYMOUS))
        self.assertFalse(self.may("~", "alice"))
        self.assertFalse(self.may("~alice", "alice"))
        self.assertFalse(self.may("alice", ANONYMOUS))


class LifetimeTests(SynchronousTestCase):
    """How long a session lives."""

    def is_over(self, now: float, *, in_use: bool = False, age: float = 0.0) -> bool:
        """Whether a session of 900, used last at 1000, that may be idle for 60, has expired."""
        session = Session(b"", "alice", created=900.0, used=1000.0)
        return Lifetime(60.0, age).is_over(session, now, in_use)

    def test_idle(self) -> None:
        """It lives up to the idle time-out, and not beyond; what is in use is not idle."""
        self.assertFalse(self.is_over(1060.0))
        self.assertTrue(self.is_over(1060.1))
        self.assertFalse(self.is_over(1060.1, in_use=True))

    def test_age(self) -> None:
        """It lives up to the age that it may have, and not beyond, in use or not."""
        self.assertFalse(self.is_over(1000.0, age=100.0))
        for in_use in (False, True):
            self.assertTrue(self.is_over(1000.1, age=100.0, in_use=in_use))

    def test_bounds(self) -> None:
        """A store is told the moments; without a limit of age nothing was opened too early."""
        self.assertEqual(Lifetime(60.0, 100.0).used_since(1000.0), 940.0)
        self.assertEqual(Lifetime(60.0, 100.0).created_since(1000.0), 900.0)
        self.assertEqual(Lifetime(60.0).created_since(1000.0), 0.0)


class OwnerTests(SynchronousTestCase):
    """Who may have a session."""

    def test_allowed(self) -> None:
        """Whoever may log in, and whoever has not, by whatever name."""
        for user in ("alice", "a.b@c", "~", "~alice"):
            check_owner(user)

    def test_refused(self) -> None:
        """Control characters, spaces, colons, nothing at all, and more than 64 characters."""
        for user in ("", "a b", "a\n", "a\x00b", "\x1b[2J", "a:b", "~~", "~a\r", "é", "x" * 65):
            error = self.assertRaises(ProtocolError, check_owner, user)
            self.assertEqual(error.code, "user")


class KeyTests(SynchronousTestCase):
    """A key is one word of a line."""

    def test_allowed(self) -> None:
        """Every printable ASCII character may stand in a key, up to 256 of them."""
        for key in ("a", "a.b:c/d-e_f", "!~", "%20", "x" * 256):
            check_key(key)

    def test_refused(self) -> None:
        """A space, a control character, anything beyond ASCII, nothing at all, and 257 characters."""
        for key in ("", " ", "a b", "a\n", "a\x00", "\x7f", "é", "x" * 257):
            error = self.assertRaises(ProtocolError, check_key, key)
            self.assertEqual(error.code, "key")


class DataLimitsTests(SynchronousTestCase):
    """How much a session may hold."""

    def refused(self, limits: DataLimits, data: dict[str, str], key: str, value: str) -> str:
        """The words of the refusal."""
        error = self.assertRaises(ProtocolError, limits.check, data, size_of(data), key, value)
        self.assertEqual(error.code, "full")
        return str(error)

    def test_keys(self) -> None:
        """The last key fits and the next does not; a key that is there takes a new value at any time."""
        limits = DataLimits(keys=2, bytes=100)
        self.assertEqual(limits.check({"a": "1"}, 2, "b", "2"), 4)
        full = {"a": "1", "b": "2"}
        self.assertEqual(self.refused(limits, full, "c", "3"), "a session may hold 2 keys")
        self.assertEqual(limits.check(full, 4, "b", "22"), 5)

    def test_bytes(self) -> None:
        """The last byte fits and the next does not; characters count as their bytes in UTF-8."""
        limits = DataLimits(keys=9, bytes=10)
        self.assertEqual(limits.check({}, 0, "k", "123456789"), 10)
        self.assertEqual(limits.check({}, 0, "k", "☃☃☃"), 10)
        self.assertEqual(self.refused(limits, {}, "k", "1234567890"), "a session may hold 10 bytes")
        self.assertEqual(self.refused(limits, {}, "k", "☃☃☃x"), "a session may hold 10 bytes")

    def test_a_new_value_frees_the_old(self) -> None:
        """A value that takes the place of a longer one fits into a full session."""
        limits = DataLimits(keys=9, bytes=10)
        self.assertEqual(limits.check({"k": "123456789"}, 10, "k", "1"), 2)

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=4))))
    def test_running_size(self, changes: list[tuple[str, str]]) -> None:
        """The size that is kept by adding up is the size that counting gives."""
        limits, size = DataLimits(), 0
        data: dict[str, str] = {}
        for key, value in changes:
            size = limits.check(data, size, key, value)
            data[key] = value
        self.assertEqual(size, size_of(data))
        self.assertEqual(size, sum(weight(key, value) for key, value in data.items()))

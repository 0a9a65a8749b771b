"""The file of users and their passwords' hashes."""

from __future__ import annotations

import hashlib
from base64 import b64encode

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.lines import MAX_LINE
from tcpsuite.core.passwords import (
    MAX_PASSWORD,
    PasswordFileError,
    decoy,
    hashed,
    is_password,
    is_user,
    parse_hash,
    parse_passwords,
    with_user,
)

SALT = bytes(range(16))
KEY = hashlib.scrypt(b"sesame", salt=SALT, n=16, r=1, p=1, dklen=32)
CHEAP = f"scrypt$16$1$1${b64encode(SALT).decode()}${b64encode(KEY).decode()}"


class PasswordTests(SynchronousTestCase):
    """What a password may be."""

    def test_can_be_sent(self) -> None:
        """It is text that can be the rest of a line, as long as a line has room for it."""
        for good in (" ", "☃ open sesame", "x" * MAX_PASSWORD, "a\rb"):
            self.assertTrue(is_password(good), good[:9])
        for bad in ("", "x" * (MAX_PASSWORD + 1), "☃" * (MAX_PASSWORD // 3 + 1), "a\nb", "a\r", "\udcff"):
            self.assertFalse(is_password(bad), bad[:9])
        self.assertLess(len("LOGIN ") + 64 + len(" ") + MAX_PASSWORD, MAX_LINE)


class HashTests(SynchronousTestCase):
    """One password's hash."""

    def test_matches(self) -> None:
        """The hash of a password, its salt and costs read from the text, matches it and nothing else."""
        entry = parse_hash(CHEAP)
        self.assertTrue(entry.matches("sesame"))
        for wrong in ("", "sesam", "sesame ", "Sesame"):
            self.assertFalse(entry.matches(wrong))
        self.assertEqual(str(entry), CHEAP)

    def test_new(self) -> None:
        """A new hash has costs that make guessing dear, and survives being written."""
        entry = hashed("☃ open sesame", SALT)
        self.assertEqual((entry.n, entry.r, entry.p), (16384, 8, 1))
        self.assertTrue(parse_hash(str(entry)).matches("☃ open sesame"))

    def test_rfc_7914(self) -> None:
        """The test vector of RFC 7914, section 12, cut to our length."""
        key = bytes.fromhex("fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162")
        text = f"scrypt$1024$8$16${b64encode(b'NaCl').decode()}${b64encode(key).decode()}"
        self.assertTrue(parse_hash(text).matches("password"))

    def test_decoy(self) -> None:
        """No password matches the decoy."""
        for password in ("", "sesame"):
            self.assertFalse(decoy(16, 1, 1).matches(password))

    def test_malformed(self) -> None:
        """What is no hash is refused with the form that was expected."""
        for text in (
            "", "sesame", "scrypt", "scrypt$16$1$1$$", "scrypt$16$1$1$AAAA$", "scrypt$16$1$1$AAAA",
            "bcrypt$16$1$1$AAAA$AAAA", "scrypt$x$1$1$AAAA$AAAA", "scrypt$16$1$1$AAAA$AAAA$AAAA",
            "scrypt$16$1$1$A!AA$AAAA", "scrypt$16$1$1$AAAA$A",
        ):  # fmt: skip
            error = self.assertRaises(ValueError, parse_hash, text)
            self.assertEqual(str(error), "expected a hash of the form scrypt$n$r$p$salt$key")

    def test_costs(self) -> None:
        """Costs that scrypt does not allow, or that would take too much memory or time, are refused."""
        for n, r, p in ((0, 1, 1), (1, 1, 1), (15, 1, 1), (16, 0, 1), (16, 1, 0), (16, 1, 17), (2**17, 8, 1)):
            error = self.assertRaises(ValueError, parse_hash, f"scrypt${n}${r}${p}$AAAA$AAAA")
            self.assertIn(f"got n {n}, r {r}, p {p}", str(error))
        self.assertEqual(parse_hash("scrypt$65536$8$16$AAAA$AAAA").n, 65536)

    def test_repr_is_no_secret(self) -> None:
        """A hash is not shown by accident."""
        self.assertEqual(repr(parse_hash(CHEAP)), "PasswordHash(n=16, r=1, p=1)")


class FileTests(SynchronousTestCase):
    """The whole file."""

    def fault(self, text: str) -> tuple[int, str]:
        """The line and the words of what is wrong."""
        error = self.assertRaises(PasswordFileError, parse_passwords, text)
        return error.line, str(error)

    def test_users(self) -> None:
        """Each line is a user; comments, empty lines, and either kind of line end do not matter."""
        users = parse_passwords(f"# users\r\n\n  # more\nalice:{CHEAP}\r\n  b.o-b@host:{CHEAP}  ")
        self.assertEqual(list(users), ["alice", "b.o-b@host"])
        self.assertTrue(users["alice"].matches("sesame"))

    def test_empty(self) -> None:
        """An empty file has no users."""
        self.assertEqual(parse_passwords(""), {})

    def test_names(self) -> None:
        """A name is 1 to 64 printable characters; ~ and # begin other things."""
        for name in ("a", "a~#", "x" * 64):
            self.assertTrue(is_user(name))
        for name in ("", "~a", "#a", "a b", "a:b", "é", "a\n", "x" * 65):
            self.assertFalse(is_user(name))

    def test_faults(self) -> None:
        """The first line that is wrong is named, and what is wrong with it."""
        form = "expected user:scrypt$n$r$p$salt$key, the user without a space or colon"
        self.assertEqual(self.fault(f"a:{CHEAP}\nnonsense\n"), (2, form))
        self.assertEqual(self.fault(f":{CHEAP}"), (1, form))
        self.assertEqual(self.fault(f"a b:{CHEAP}"), (1, form))
        self.assertEqual(self.fault("\n\na:plain"), (3, "expected a hash of the form scrypt$n$r$p$salt$key"))
        self.assertEqual(
            self.fault(f"a:{CHEAP}\na:{CHEAP}"), (2, "the user a stands here for the second time")
        )

    def test_add(self) -> None:
        """A new user is added behind the others, whether or not the last line was complete."""
        entry = parse_hash(CHEAP)
        self.assertEqual(with_user("", "a", entry), f"a:{CHEAP}\n")
        for old in ("# users\nab:x", "# users\nab:x\n"):
            self.assertEqual(with_user(old, "a", entry), f"# users\nab:x\na:{CHEAP}\n")

    def test_replace(self) -> None:
        """A new password takes the place of the old one; everything else stays as it is."""
        old = "# a: a comment\n\n a:old\nb:x\n"
        self.assertEqual(with_user(old, "a", parse_hash(CHEAP)), f"# a: a comment\n\na:{CHEAP}\nb:x\n")

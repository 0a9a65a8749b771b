"""Writing the file of users and passwords."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.passwords import parse_hash, parse_passwords
from tcpsuite.errors import StartError
from tcpsuite.net import auth
from tcpsuite.net.auth import set_password
from tcpsuite.options import OptionError

CHEAP = "scrypt$2$1$1$c2FsdA==$a2V5"
BOB = f"bob:{CHEAP}\n"


class SetPasswordTests(SynchronousTestCase):
    """Writing the file."""

    def setUp(self) -> None:
        """A folder for it."""
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)
        self.path = self.folder / "passwords"

    def test_new_file(self) -> None:
        """A new file is its owner's alone, and the only thing that is left in the folder."""
        self.assertTrue(set_password(str(self.path), "alice", "open sesame"))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(list(self.folder.iterdir()), [self.path])
        user, _, text = self.path.read_text().strip().partition(":")
        self.assertEqual(user, "alice")
        self.assertTrue(parse_hash(text).matches("open sesame"))

    def test_old_user(self) -> None:
        """A user who was there gets the new password; the others stay."""
        self.path.write_text(f"# mine\nalice:{CHEAP}\n{BOB}")
        self.assertFalse(set_password(str(self.path), "alice", "new"))
        comment, alice, bob = self.path.read_text().splitlines(keepends=True)
        self.assertEqual((comment, bob), ("# mine\n", BOB))
        self.assertTrue(parse_hash(alice.strip().partition(":")[2]).matches("new"))

    def test_kept(self) -> None:
        """A file that others may read stays so, and a link to it stays a link."""
        self.path.write_text(BOB)
        self.path.chmod(0o640)
        link = self.folder / "link"
        link.symlink_to(self.path.absolute())
        set_password(str(link), "alice", "x")
        self.assertTrue(link.is_symlink())
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o640)
        self.assertIn("alice:", self.path.read_text())

    def test_refused(self) -> None:
        """A name that none may have, and a malformed file, change nothing."""
        self.assertRaises(OptionError, set_password, str(self.path), "a b", "x")
        self.assertFalse(self.path.exists())
        self.path.write_text("nonsense")
        error = self.assertRaises(StartError, set_password, str(self.path), "a", "x")
        self.assertIn(f"{self.path}:1: ", str(error))
        self.assertEqual(self.path.read_text(), "nonsense")

    def test_no_password(self) -> None:
        """What could not be sent is no password; it is not repeated in the error."""
        for bad in ("", "secret\nline", "secret" * 2000):
            error = self.assertRaises(OptionError, set_password, str(self.path), "a", bad)
            self.assertNotIn("secret", str(error))
        self.assertFalse(self.path.exists())

    def test_several_at_once(self) -> None:
        """Who changes the file at the same time as others undoes nothing of theirs."""
        self.patch(auth, "hashed", lambda password, salt: parse_hash(CHEAP))
        names = [f"user{number}" for number in range(40)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda name: set_password(str(self.path), name, "x"), names))
        self.assertEqual(sorted(parse_passwords(self.path.read_text())), sorted(names))

    def test_cannot_be_replaced(self) -> None:
        """When the file cannot be replaced, nothing is left beside it."""
        self.patch(os, "replace", refuse)
        self.assertRaises(PermissionError, set_password, str(self.path), "a", "x")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_salted(self) -> None:
        """Two hashes of one password differ."""
        for user in ("a", "b"):
            set_password(str(self.path), user, "x")
        one, other = (line.partition(":")[2] for line in self.path.read_text().splitlines())
        self.assertNotEqual(one, other)


def refuse(*_arguments: object) -> None:
    """Stand for a system call that is refused."""
    raise PermissionError(13, "Permission denied")

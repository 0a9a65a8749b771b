"""The session service, spoken to in lines."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail

from tcpsuite.core.connections import Reason
from tcpsuite.errors import LoginFailed, StoreFailed
from tcpsuite.services.session import SessionFactory
from tests.support.sessions import ID, Client, SessionCase


class LoginTests(SessionCase):
    """Who may open and resume what."""

    def test_login_first(self) -> None:
        """Without a login nothing is opened and nothing resumed."""
        _, session_id = self.opened()
        self.assertEqual(self.client.refused("OPEN"), "login")
        self.assertEqual(self.client.refused(f"RESUME {session_id}"), "login")

    def test_login(self) -> None:
        """The password is the rest of the line; who logged in stands in the record."""
        self.assertEqual(self.client.ask("LOGIN alice open sesame"), "OK alice")
        self.assertEqual(self.client.record.user, "alice")

    def test_wrong_password(self) -> None:
        """A login that fails changes nothing, and may be tried again."""
        answer = self.client.ask("LOGIN alice open")
        self.assertEqual(answer, "ERR login the user or the password is not right")
        self.assertEqual(self.client.refused("OPEN"), "login")
        self.assertEqual(self.client.record.user, "")
        self.assertEqual(self.client.wants("LOGIN alice open sesame"), "alice")

    def test_too_many_logins_at_once(self) -> None:
        """A login that was not tried, as too many came at once, is no wrong one: it is over a limit."""
        refused = LoginFailed("too many logins at once", "limit")
        self.patch(self.checker, "requestAvatarId", lambda _: fail(refused))
        self.assertEqual(self.client.ask("LOGIN alice open sesame"), "ERR limit too many logins at once")

    def test_plaintext(self) -> None:
        """Where others could read it a password is refused unseen."""
        self.authenticator.allow_plaintext = False
        self.assertEqual(self.client.refused("LOGIN alice open sesame"), "plaintext")

    def test_nobody_can_log_in(self) -> None:
        """A service without an authenticator says so."""
        self.factory = SessionFactory(self.clock, self.sessions, anonymous=True)
        self.assertEqual(Client(self).ask("LOGIN a b"), "ERR login nobody can log in here")

    def test_once(self) -> None:
        """A connection is one user's from the first login to its end."""
        client = self.logged_in()
        self.assertEqual(client.refused("LOGIN bob open sesame"), "state")
        client.wants("OPEN alice")
        self.assertEqual(client.refused("LOGIN bob open sesame"), "state")

    def test_open_for_another(self) -> None:
        """Nobody opens a session in another's name."""
        client = self.logged_in()
        self.assertEqual(client.ask("OPEN bob"), "ERR login you are logged in as alice")
        self.assertRegex(client.ask("OPEN alice"), f"^OK {ID}$")

    def test_resume_for_another(self) -> None:
        """The id of alice's session is worth nothing to bob, and he is told no more than for a wrong id."""
        _, session_id = self.opened()
        bob = self.logged_in("bob")
        answers = {bob.ask(f"RESUME {each}") for each in (session_id, "A" * 43, "x", "☃")}
        self.assertEqual(
            answers, {"ERR no-session there is no such session, or no longer, or it is another user's"}
        )

    def test_lost_while_logging_in(self) -> None:
        """A connection that is lost while its password is checked is not logged in."""
        self.patch(self.checker, "requestAvatarId", lambda _: Deferred())
        self.assertEqual(self.client.say(b"LOGIN alice open sesame\n"), "")
        self.client.lose()
        self.assertEqual(self.client.record.user, "")


class AnonymousTests(SessionCase):
    """Where sessions may be opened without a login."""

    anonymous = True

    def test_open(self) -> None:
        """A session without a login belongs to a name that nobody vouched for, and that no login has."""
        self.assertRegex(self.client.ask("OPEN alice"), f"^OK {ID}$")
        self.assertIn("user=~alice ", self.client.wants("INFO"))
        self.assertEqual(Client(self).refused("OPEN ~alice"), "user")
        other = Client(self)
        other.wants("OPEN")
        self.assertIn("user=~ ", other.wants("INFO"))

    def test_apart_from_logins(self) -> None:
        """Sessions of those who logged in and of those who did not are closed to each other."""
        anonymous_id = self.client.wants("OPEN alice")
        _, alices_id = self.opened()
        self.assertEqual(Client(self).refused(f"RESUME {alices_id}"), "no-session")
        self.assertEqual(self.logged_in().refused(f"RESUME {anonymous_id}"), "no-session")
        self.assertEqual(Client(self).wants(f"RESUME {anonymous_id}"), "0")

    def test_login_before_open(self) -> None:
        """A session that was opened without a login does not become a user's."""
        self.client.wants("OPEN")
        self.assertEqual(self.client.refused("LOGIN alice open sesame"), "state")


class DataTests(SessionCase):
    """Keys and values."""

    def test_values(self) -> None:
        """A value is the rest of the line as it is: spaces, nothing at all, any characters."""
        client, _ = self.opened()
        for value in ("blue", "deep blue", " two  spaces ", "", "=", "☃\x00\r\x85x"):
            self.assertEqual(client.ask(f"SET key {value}"), "OK")
            self.assertEqual(client.ask("GET key"), f"OK {value}" if value else "OK")

    def test_missing(self) -> None:
        """An absent key is an answer and no error: asking for many of them closes nothing."""
        client, _ = self.opened()
        for _ in range(50):
            self.assertEqual(client.ask("GET key"), "ERR no-key there is no such key")
            self.assertEqual(client.refused("DEL key"), "no-key")
        self.assertFalse(client.transport.disconnecting)

    def test_delete(self) -> None:
        """A removed key is gone."""
        client, _ = self.opened()
        client.wants("SET key value")
        self.assertEqual(client.ask("DEL key"), "OK")
        self.assertEqual(client.refused("GET key"), "no-key")

    def test_keys(self) -> None:
        """KEYS tells their number, and then each on a line of its own, sorted."""
        client, _ = self.opened()
        self.assertEqual(client.ask("KEYS"), "OK 0")
        for key in ("b", "a", "OK"):
            client.wants(f"SET {key} 1")
        self.assertEqual(client.ask("KEYS"), "OK 3\nOK\na\nb")

    def test_bad_keys(self) -> None:
        """A key that is none is refused by every verb that takes one."""
        client, _ = self.opened()
        for line in ("SET é 1", "GET a\tb", "DEL " + "x" * 257):
            self.assertEqual(client.refused(line), "key")
        self.assertEqual(client.refused("SET  value"), "key")

    def test_full(self) -> None:
        """What a session may hold, and how many sessions there may be, is said when it is too much."""
        client, _ = self.opened()
        for key in "abc":
            client.wants(f"SET {key} 1")
        self.assertEqual(client.ask("SET d 1"), "ERR full a session may hold 3 keys")
        for _ in range(4):
            self.opened()
        self.assertEqual(self.logged_in().ask("OPEN"), "ERR full there are 5 sessions already")

    def test_usage(self) -> None:
        """Too few or too many words are answered with how it is written."""
        client, _ = self.opened()
        for line, usage in (
            ("SET key", "SET key value"), ("GET", "GET key"), ("GET a b", "GET key"), ("DEL", "DEL key"),
            ("KEYS a", "KEYS"), ("INFO a", "INFO"), ("CLOSE a", "CLOSE"), ("QUIT a", "QUIT"),
            ("LOGIN a", "LOGIN user password"), ("OPEN a b", "OPEN [user]"), ("RESUME", "RESUME id"),
        ):  # fmt: skip
            self.assertEqual(client.ask(line), f"ERR usage {usage}")

    def test_no_session(self) -> None:
        """Everything about data needs a session first."""
        client = self.logged_in()
        for line in ("SET a 1", "GET a", "DEL a", "KEYS", "INFO", "CLOSE"):
            self.assertEqual(client.ask(line), "ERR no-session OPEN or RESUME a session first")

    def test_store_fails(self) -> None:
        """What could not be stored is not answered with OK."""
        client, _ = self.opened()
        self.patch(self.sessions.store, "change", lambda *_: fail(StoreFailed("disk full")))
        self.assertEqual(client.ask("SET key value"), "ERR store the store failed, try again")
        self.assertEqual(client.refused("GET key"), "no-key")


class LifeTests(SessionCase):
    """From OPEN to CLOSE, over several connections."""

    def test_resume(self) -> None:
        """A session is there on the next connection, with all its keys, whose number is the answer."""
        client, session_id = self.opened()
        client.wants("SET colour deep blue")
        client.lose()
        client = self.logged_in()
        self.assertEqual(client.ask(f"RESUME {session_id}"), "OK 1")
        self.assertEqual(client.ask("GET colour"), "OK deep blue")

    def test_expired(self) -> None:
        """A session that rests for too long is gone; one whose connection is open is not, however silent."""
        client, session_id = self.opened()
        self.clock.advance(1000.0)
        client.lose()
        self.clock.advance(60.0)
        again = self.logged_in()
        again.wants(f"RESUME {session_id}")
        again.lose()
        self.clock.advance(60.1)
        self.assertEqual(self.logged_in().refused(f"RESUME {session_id}"), "no-session")

    def test_info(self) -> None:
        """INFO is one line of words, each a name and a value."""
        client, _ = self.opened()
        client.wants("SET key value")
        self.clock.advance(2.0)
        self.assertEqual(client.ask("INFO"), "OK user=alice age=2 idle_timeout=60 requests=2 keys=1 bytes=8")

    def test_one_at_a_time(self) -> None:
        """A connection that has a session neither opens nor resumes another one."""
        client, session_id = self.opened()
        for line in ("OPEN", f"RESUME {session_id}"):
            self.assertEqual(client.refused(line), "state")

    def test_close(self) -> None:
        """A closed session is gone, its connection goes on."""
        client, session_id = self.opened()
        self.assertEqual(client.ask("CLOSE"), "OK")
        self.assertEqual(client.refused("GET key"), "no-session")
        self.assertEqual(client.refused(f"RESUME {session_id}"), "no-session")
        client.wants("OPEN")

    def test_closed_by_another(self) -> None:
        """A session that another connection closed is gone here too, and a new one may be opened."""
        client, session_id = self.opened()
        other = self.logged_in()
        other.wants(f"RESUME {session_id}")
        other.wants("CLOSE")
        for line in ("GET key", "SET key 1", "CLOSE"):
            self.assertEqual(client.refused(line), "no-session")
        client.wants("OPEN")

    def test_quit(self) -> None:
        """QUIT closes the connection, says why in the record, and leaves the session."""
        client, session_id = self.opened()
        self.assertEqual(client.ask("QUIT"), "OK")
        self.assertTrue(client.transport.disconnecting)
        self.assertIs(client.record.reason, Reason.SERVICE_CLOSED)
        client.lose()
        self.logged_in().wants(f"RESUME {session_id}")

    def test_half_close(self) -> None:
        """Who has said all is answered all, and then closed."""
        client = self.logged_in()
        self.assertRegex(client.say(b"OPEN\nSET a 1\nGET a\n"), f"^OK {ID}\nOK\nOK 1\n$")
        client.protocol.readConnectionLost()
        self.assertTrue(client.transport.disconnecting)
        self.assertIs(client.record.reason, Reason.CLIENT_CLOSED)

    def test_secrets_stay_out_of_reprs(self) -> None:
        """Neither the manager nor the record of a connection shows an id."""
        client, session_id = self.opened()
        self.assertNotIn(session_id, repr((self.sessions, client.record, client.protocol)))

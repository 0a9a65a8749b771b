"""Who may be picked, and why the others may not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.choosing import Choice, LeftOut, Why, candidates, choice, why_not
from tcpsuite.core.servers import Administration, Server


def server(name: str = "a", **known: object) -> Server:
    """A server of that name."""
    made = Server(name, "tcp:192.0.2.1:80")
    for key, value in known.items():
        setattr(made, key, value)
    return made


class WhyNotTests(SynchronousTestCase):
    """One server."""

    def test_usable(self) -> None:
        """A server that is up, ready and has weight takes connections; a backup is one like others here."""
        self.assertIsNone(why_not(server()))
        self.assertIsNone(why_not(server(backup=True)))
        self.assertIsNone(why_not(server(max_connections=2, active=1)))

    def test_each_reason(self) -> None:
        """Each thing that keeps a server from new connections has a word of its own."""
        self.assertIs(why_not(server(administration=Administration.MAINT)), Why.MAINT)
        self.assertIs(why_not(server(administration=Administration.DRAIN)), Why.DRAINING)
        self.assertIs(why_not(server(up=False)), Why.DOWN)
        self.assertIs(why_not(server(ejected=True)), Why.EJECTED)
        self.assertIs(why_not(server(weight=0)), Why.NO_WEIGHT)
        self.assertIs(why_not(server(max_connections=2, active=2)), Why.FULL)
        self.assertIs(why_not(server(max_connections=2, active=3)), Why.FULL)

    def test_the_operator_first(self) -> None:
        """What an operator wants stands above what is known of the server."""
        out = server(administration=Administration.MAINT, up=False, ejected=True, weight=0)
        self.assertIs(why_not(out), Why.MAINT)
        self.assertIs(why_not(server(up=False, ejected=True)), Why.DOWN)


class CandidatesTests(SynchronousTestCase):
    """Several servers."""

    def setUp(self) -> None:
        self.a, self.b = server("a"), server("b")
        self.c, self.d = server("c", backup=True), server("d", backup=True)
        self.all = (self.a, self.b, self.c, self.d)

    def test_backups_wait(self) -> None:
        """Backups are not picked while another server may be."""
        self.assertEqual(candidates(self.all), [self.a, self.b])
        self.a.up = False
        self.assertEqual(candidates(self.all), [self.b])

    def test_the_first_backup(self) -> None:
        """When no other may be picked the first usable backup may, and it alone."""
        self.a.up = self.b.up = False
        self.assertEqual(candidates(self.all), [self.c])
        self.c.ejected = True
        self.assertEqual(candidates(self.all), [self.d])
        self.d.up = False
        self.assertEqual(candidates(self.all), [])

    def test_not_for_peaks(self) -> None:
        """While a server that is no backup is merely full, no backup is picked: one waits for it."""
        self.a.up, self.b.max_connections, self.b.active = False, 1, 1
        self.assertEqual(candidates(self.all), [])
        self.assertEqual(candidates(self.all, {self.b}), [self.c])
        self.b.up = False
        self.assertEqual(candidates(self.all), [self.c])
        self.c.max_connections = self.c.active = 1
        self.assertEqual(candidates(self.all), [self.d])

    def test_tried(self) -> None:
        """Who failed for this client is not picked for it again."""
        self.assertEqual(candidates(self.all, {self.a: "refused"}), [self.b])
        self.assertEqual(candidates(self.all, {self.a, self.b}), [self.c])

    def test_what_is_remembered(self) -> None:
        """A choice names the candidates, their weights, who is in a slow start, and why each other is out."""
        self.b.up, self.c.weight = False, 3
        found = candidates(self.all, {self.a})
        self.assertEqual(found, [self.c])
        self.assertEqual(
            choice(self.all, found, {self.a}, {self.b, self.c}),
            Choice(
                ("c",),
                (LeftOut("a", Why.TRIED), LeftOut("b", Why.DOWN), LeftOut("d", Why.BACKUP)),
                ("c",),
                (3,),
            ),
        )

    def test_why_nobody(self) -> None:
        """In words a choice says how many were left out for each reason, or that none was."""
        self.a.up = self.c.up = False
        self.b.weight = 0
        self.d.administration = Administration.DRAIN
        nobody = choice(self.all, candidates(self.all))
        self.assertEqual(nobody.nobody, "2 down, 1 no weight, 1 draining")
        self.assertEqual(Choice(("a",)).nobody, "none left out")

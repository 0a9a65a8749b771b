"""Connections in all."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.limits import Ceiling, Room
from tcpsuite.errors import LocalError


class CeilingTests(SynchronousTestCase):
    """Connections in all."""

    def test_rests_at_the_limit_and_resumes_below(self) -> None:
        """It is full with as many as the limit, and not with one less."""
        ceiling = Ceiling(2)
        self.assertTrue(ceiling.enter())
        self.assertFalse(ceiling.full)
        self.assertTrue(ceiling.enter())
        self.assertTrue(ceiling.full)
        ceiling.leave()
        self.assertFalse(ceiling.full)

    def test_a_full_one_lets_nobody_in(self) -> None:
        """Who finds it full has no place, and so none to give back."""
        ceiling = Ceiling(1)
        self.assertTrue(ceiling.enter())
        self.assertFalse(ceiling.enter())
        self.assertEqual(repr(ceiling), "<Ceiling 1 of 1>")
        ceiling.leave()
        self.assertTrue(ceiling.enter())

    def test_a_place_is_given_back_once(self) -> None:
        """Giving back more than was taken is our caller's fault."""
        ceiling = Ceiling(1)
        ceiling.enter()
        ceiling.leave()
        self.assertRaises(LocalError, ceiling.leave)
        self.assertEqual(ceiling.active, 0)

    def test_there_is_room_for_one(self) -> None:
        """A ceiling that nobody fits under is refused."""
        self.assertRaises(LocalError, Ceiling, 0)

    def test_the_room_is_shared(self) -> None:
        """Those below two ceilings share a room, each taking its size; who leaves makes room for either."""
        room = Room(4)
        large, small = Ceiling(10, room, size=3), Ceiling(10, room)
        self.assertTrue(large.enter())
        self.assertTrue(large.full)
        self.assertFalse(small.full)
        self.assertTrue(small.enter())
        self.assertFalse(small.enter())
        self.assertEqual(repr(room), "<Room 4 of 4>")
        large.leave()
        self.assertFalse(small.full)
        self.assertFalse(large.full)
        small.leave()
        self.assertEqual(room.taken, 0)

    def test_beside_another(self) -> None:
        """One beside another is as high, counts by itself, and shares its room, in parts of its own."""
        room = Room(4)
        streams = Ceiling(2, room, 2)
        carriers = streams.beside(1)
        self.assertTrue(carriers.enter())
        self.assertTrue(streams.enter())
        self.assertEqual(room.taken, 3)
        self.assertFalse(streams.enter())
        self.assertTrue(carriers.enter())
        self.assertFalse(carriers.enter())
        self.assertEqual(repr(carriers), "<Ceiling 2 of 2>")

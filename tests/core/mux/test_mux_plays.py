"""What fuzzing has found worth keeping is played again."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.mux.frames import HEADER
from tests.core.mux.play import corpus, play


class PlayTests(SynchronousTestCase):
    """Plays by bytes."""

    def test_corpus(self) -> None:
        """Whatever the other side sends and this one does, counts are right, and nothing waits for ever."""
        plays = corpus()
        self.assertGreater(len(plays), 100)
        for data in plays:
            play(data)

    def test_every_header(self) -> None:
        """Each type with each flags, on streams of each kind, means the same whole and byte by byte."""
        for side in (8, 9):
            known = HEADER.pack(0, 1, 1, 1 if side == 8 else 2, 0)
            for kind in range(5):
                for flags in range(17):
                    for stream in (0, 1, 2, 3, 4):
                        frame = HEADER.pack(0, kind, flags, stream, 3) + b"abc" * (kind == 0)
                        play(bytes([side]) + known + frame + frame + HEADER.pack(0, 2, 1, 0, 7))

"""Both halves of an attached connection, and whatever may happen to them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net.attaching.carriers import BEAT
from tests.support.carrying import Pair

STEPS = st.tuples(
    st.sampled_from(
        ["say", "say", "finish", "reset", "fill", "drain", "deliver", "deliver", "cut", "join", "wait"]
    ),
    st.integers(0, 1),
    st.integers(1, 150),
)


class MachineTests(SynchronousTestCase):
    """Whatever happens to the ends and to the carriers between them."""

    @settings(deadline=None, max_examples=400)
    @given(st.lists(STEPS, max_size=120), st.integers(1, 120), st.integers(1, 300))
    def test_exactly_what_was_said(self, steps: list[tuple[str, int, int]], window: int, bound: int) -> None:
        """Whenever a carrier is cut, what arrives is a beginning of what was said; at last it is all of it, a
        FIN behind it is a FIN, a reset a reset, both halves are over, and no timer is left.
        """
        pair = Pair(bound, window)
        pair.join()
        for what, which, size in steps:
            end, line = pair.ends[which], pair.lines[-1]
            if what == "say":
                end.say(bytes((len(end.said) + number) % 251 for number in range(size)))
            elif what == "finish":
                end.finish()
            elif what == "reset" and size < 20:
                end.reset()
            elif what in ("fill", "drain"):
                end.fill(what == "fill")
            elif what == "deliver":
                line.deliver(which, size)
                line.settle()
            elif what == "cut":
                line.lose()
            elif what == "join":
                pair.join()
            elif what == "wait":
                pair.clock.advance(BEAT)
            for number in (0, 1):
                said, heard = pair.ends[1 - number].said, pair.ends[number].heard
                assert said.startswith(heard)
                assert pair.ends[number].over < 2
        self.come_to_an_end(pair)

    def come_to_an_end(self, pair: Pair) -> None:
        """Join them for good, let both ends finish, and look at what has become of it."""
        resets = [end.was_reset for end in pair.ends]
        complete = [end.attached.is_over for end in pair.ends]
        for _ in range(200):
            if any(not end.attached.is_over for end in pair.ends) and pair.lines[-1].lost:
                pair.join()
            for end in pair.ends:
                end.fill(False)
                end.finish()
            pair.run()
            if all(end.attached.is_over for end in pair.ends):
                break
            pair.clock.advance(BEAT)
        pair.run()
        assert [end.over for end in pair.ends] == [1, 1], complete
        assert pair.timers() == []
        assert not any(end.transport.connected for end in pair.ends)
        if not any(resets):
            for number in (0, 1):
                assert pair.ends[number].heard == pair.ends[1 - number].said
                assert pair.ends[number].transport.finished
                assert not pair.ends[number].transport.disconnected
        for number in (0, 1):
            if resets[number] and not resets[1 - number]:
                other = pair.ends[1 - number]
                assert other.heard == pair.ends[number].said
                both_finished = pair.ends[number].finished and other.finished
                assert other.transport.disconnected or both_finished

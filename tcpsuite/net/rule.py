"""How servers are picked: a balancer, and all that it provides."""

from __future__ import annotations

from attrs import field, frozen

from tcpsuite.core.affinity import Affinity
from tcpsuite.interfaces import ILearning, ILoadBalancer, IReasoned, ITimed


@frozen(eq=False)
class Rule:
    """A balancer, and what it wants to be told or can tell: asking that each time costs more than a pick."""

    balancer: ILoadBalancer
    name: str = ""
    """Its name, for people."""
    affinity: Affinity | None = None
    """What is asked before it, if clients are to keep their servers."""
    picker: ILoadBalancer = field(init=False)
    """Who picks: one of these two."""
    learner: ILearning | None = field(init=False)
    """The balancer, if it wants to know what becomes of its picks."""
    timer: ITimed | None = field(init=False)
    """The balancer, if it wants to know how soon servers answer."""
    reasoner: IReasoned | None = field(init=False)
    """The picker, if it can say why."""

    @picker.default
    def _picker(self) -> ILoadBalancer:
        return self.balancer if self.affinity is None else self.affinity

    @learner.default
    def _learner(self) -> ILearning | None:
        return ILearning(self.balancer, None)

    @timer.default
    def _timer(self) -> ITimed | None:
        return ITimed(self.balancer, None)

    @reasoner.default
    def _reasoner(self) -> IReasoned | None:
        return IReasoned(self.picker, None)

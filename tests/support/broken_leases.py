"""Pools of somebody's own whose leases have one fault each, for the contracts to find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcpsuite.errors import LeaseError
from tcpsuite.net.leases import PooledLease
from tests.support.sample_pool import StackPool

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol

    from tcpsuite.interfaces import ILease
    from tcpsuite.net.held import Held


class Changed(StackPool):
    """Does something else to what it has made."""

    def made(self, held: Held) -> None:
        self.change(held)
        super().made(held)

    def change(self, held: Held) -> None:
        """Does it."""
        raise NotImplementedError


class Mumbling(Changed):
    """Sends nothing."""

    def change(self, held: Held) -> None:
        held.transport.write = lambda data: None  # type: ignore[method-assign]


class Forgetful(Changed):
    """Drops what comes before somebody listens."""

    def change(self, held: Held) -> None:
        held.dataReceived = lambda data: None  # type: ignore[method-assign]


class Rigid(Changed):
    """Leaves who knows no half-close with half a connection."""

    def change(self, held: Held) -> None:
        held._server_finished = lambda taker: None  # type: ignore[method-assign]


class Loose(Changed):
    """Takes the connection from who has it, for whoever comes with the same lease."""

    def change(self, held: Held) -> None:
        attach = held.attach

        def attach_again(taker: IProtocol) -> None:
            held._taker = None
            attach(taker)

        held.attach = attach_again  # type: ignore[method-assign]


class Clinging(Changed):
    """Does not see that a taker is done before it has begun."""

    def change(self, held: Held) -> None:
        attach = held.attach

        def attach_for_good(taker: IProtocol) -> None:
            attach(taker)
            held.dataReceived = taker.dataReceived  # type: ignore[method-assign]

        held.attach = attach_for_good  # type: ignore[method-assign]


class Busy(Changed):
    """Hears of no release while it hands a connection over."""

    handing_over = False

    def change(self, held: Held) -> None:
        attach = held.attach

        def hand_over(taker: IProtocol) -> None:
            self.handing_over = True
            attach(taker)
            self.handing_over = False

        held.attach = hand_over  # type: ignore[method-assign]

    def release(self, lease: ILease, reusable: bool = True, ok: bool = True) -> None:
        if not self.handing_over:
            super().release(lease, reusable, ok)


class Numb(StackPool):
    """Does not tell who comes too late that the connection was lost."""

    def lost(self, held: Held) -> None:
        held._reason = None
        super().lost(held)


class Releasing(StackPool):
    """Releases in another way."""

    def given_back(self, lease: ILease) -> Held | None:
        assert isinstance(lease, PooledLease)
        return lease.give_back({held.number: held for held in self.held})

    def keep(self, held: Held, lease: ILease) -> None:
        """Have it lent again."""
        assert isinstance(lease, PooledLease)
        held.take_back()
        self.idle.append(held)
        self.serve()
        lease.end(self.clock.seconds())


class Trusting(Releasing):
    """Lends again whatever comes back."""

    def release(self, lease: ILease, reusable: bool = True, ok: bool = True) -> None:
        if (held := self.given_back(lease)) is not None:
            self.keep(held, lease)


class Twice(Trusting):
    """Takes back what was given back already."""

    def release(self, lease: ILease, reusable: bool = True, ok: bool = True) -> None:
        assert isinstance(lease, PooledLease)
        lease._returned, lease._outcome = False, None
        super().release(lease)


class Strict(StackPool):
    """Takes a second release for a mistake."""

    def release(self, lease: ILease, reusable: bool = True, ok: bool = True) -> None:
        assert isinstance(lease, PooledLease)
        if lease._returned:
            raise LeaseError("it was released")
        super().release(lease, reusable, ok)


class Borrowing(Releasing):
    """Takes any lease for its own."""

    def given_back(self, lease: ILease) -> Held | None:
        assert isinstance(lease, PooledLease)
        return lease.give_back({lease._held.number: lease._held})

    def release(self, lease: ILease, reusable: bool = True, ok: bool = True) -> None:
        if (held := self.given_back(lease)) is not None:
            held.close()


class Early(Releasing):
    """Says that a lease is over before its taker hears of it."""

    def release(self, lease: ILease, reusable: bool = True, ok: bool = True) -> None:
        if (held := self.given_back(lease)) is not None:
            assert isinstance(lease, PooledLease)
            lease.end(self.clock.seconds())
            held.close()


class Spending(Releasing):
    """Keeps nothing."""

    def release(self, lease: ILease, reusable: bool = True, ok: bool = True) -> None:
        if (held := self.given_back(lease)) is not None:
            held.close()


class Careless(StackPool):
    """Lets who has given its lease back end that of the next one."""

    def release(self, lease: ILease, reusable: bool = True, ok: bool = True) -> None:
        assert isinstance(lease, PooledLease)
        lease._returned, lease._outcome = False, None
        super().release(lease, reusable, ok)


class Sharing(StackPool):
    """Keeps what it lends for the next one too."""

    def lend(self, held: Held) -> None:
        self.idle.append(held)
        super().lend(held)

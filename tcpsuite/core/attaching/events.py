"""What becomes of attached connections, for who watches their client: each of them is a sentence, too."""

from __future__ import annotations

from attrs import frozen

from tcpsuite.options import format_duration


@frozen
class Away:
    """There is nothing to carry it now: the suite cannot be reached, or does not answer.  Told once, until it
    is :class:`Back`.
    """

    number: int
    """Of the program's connection, counted from 1."""
    why: str
    patience: float
    """Seconds until it is given up."""

    def __str__(self) -> str:
        return f"connection {self.number}: {self.why}; trying for {format_duration(self.patience)}"


@frozen
class Back:
    """It goes on, from where it was."""

    number: int
    seconds: float
    """How long it was away."""

    def __str__(self) -> str:
        return f"connection {self.number}: goes on after {self.seconds:.1f} s"


@frozen
class Cut:
    """The program's connection is reset."""

    number: int
    why: str

    def __str__(self) -> str:
        return f"connection {self.number} is reset: {self.why}"


Event = Away | Back | Cut

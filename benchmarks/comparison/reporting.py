"""What was measured, as Markdown that is read as well in a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from .cases import HELD_TO
from .servers import OURS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .cases import Case, Group, Target
    from .running import Rounds

FULL = 0.9
"""A processor that is busy for this share of the time can hardly do more."""
STARRED = "\\* The load was at its limit, and this server was not."
LATE = 0.2
"""The load's own part of a latency that is worth a word."""


@dataclass(frozen=True)
class Spread:
    """The median of the rounds, the least and the most."""

    middle: float
    least: float
    most: float

    def text(self, form: str) -> str:
        """As ``1.00 (0.95 to 1.10)``."""
        middle, least, most = (format(value, form) for value in (self.middle, self.least, self.most))
        return middle if least == most else f"{middle} ({least} to {most})"


def spread(values: Iterable[float]) -> Spread | None:
    """Of some values; ``None`` of none."""
    found = sorted(values)
    return Spread(median(found), found[0], found[-1]) if found else None


def figures(rounds: Rounds, server: str, figure: str, scale: float = 1.0) -> Spread | None:
    """One figure of one server, if it has been measured."""
    return spread(each[figure] * scale for each in rounds[server] if each and figure in each)


def ratio(rounds: Rounds, figure: str, peer: str, own: str = OURS) -> Spread | None:
    """Ours, or that of another, over the peer's, round by round."""
    pairs = zip(rounds[own], rounds[peer], strict=True)
    return spread(ours[figure] / theirs[figure] for ours, theirs in pairs if ours and theirs)


def gap(rounds: Rounds, more: str, less: str) -> Spread | None:
    """How much more processor time a connection takes on one server than on the other, round by round."""
    pairs = zip(rounds[more], rounds[less], strict=True)
    return spread(a["processor_us"] - b["processor_us"] for a, b in pairs if a and b)


def met(found: Spread | None, at_least: float) -> str:
    """``met`` or ``missed``, by the median."""
    if found is None:
        return "failed"
    return "met" if found.middle >= at_least else "missed"


def show(found: Spread | None, form: str) -> str:
    """For a cell of a table."""
    return found.text(form) if found else "failed"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows, the first of them the heads, as a Markdown table whose columns stand under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def ratios(found: dict[str, Rounds], cases: Sequence[Case], servers: Sequence[str]) -> str:
    """Our own figure in each case, and what it is of every peer's."""
    peers = [name for name in servers if name != OURS]
    rows = [["", OURS, *(f"of {name}" for name in peers)]]
    for case in cases:
        rounds = found[case.key]
        own = figures(rounds, OURS, case.figure)
        first = format(own.middle, ",.0f") + mark(rounds, OURS) if own else "failed"
        others = (show(ratio(rounds, case.figure, peer), ".2f") + mark(rounds, peer) for peer in peers)
        rows.append([case.title, first, *others])
    return table(rows)


def mark(rounds: Rounds, server: str) -> str:
    """A star where the load was busy all the time and the server was not: it could have done more."""
    busy, load = figures(rounds, server, "busy"), figures(rounds, server, "load_busy")
    return "*" if busy and load and busy.middle < FULL <= load.middle else ""


def costs(found: dict[str, Rounds], cases: Sequence[Case], servers: Sequence[str]) -> str:
    """What is gained by taking one thing after the other away."""
    rows = [["", "connections/s", "µs of processor time each", "less than as shipped"]]
    rounds = found[cases[0].key]
    for name in servers:
        own, each = (show(figures(rounds, name, figure), ",.0f") for figure in ("per_s", "processor_us"))
        less = "" if name == OURS else show(gap(rounds, OURS, name), ".1f")
        rows.append(["as shipped" if name == OURS else name, own, each, less])
    return table(rows)


CROWD_ROWS = {
    "schedule": (
        ("100,000 messages/s of 100 B on schedule: answered in, ms, mean", "mean_us", 1e-3, ".2f"),
        ("… 99 of 100 within, ms", "p99_us", 1e-3, ".2f"),
        ("… most resident memory of the process, MB", "resident", 1e-6, ".0f"),
    ),
    "idle": (("idle: resident memory each, KB", "each", 1e-3, ".2f"),),
}


def crowd(found: dict[str, Rounds], cases: Sequence[Case], servers: Sequence[str]) -> str:
    """Figures as they are, for ratios of them would say little."""
    rows = [["", *servers]]
    for case in cases:
        for title, figure, scale, form in CROWD_ROWS[case.key]:
            cells = (show(figures(found[case.key], name, figure, scale), form) for name in servers)
            rows.append([title, *cells])
    return table(rows)


LAYOUTS = {"ratios": ratios, "costs": costs, "crowd": crowd}


def section(group: Group, found: dict[str, Rounds], servers: Sequence[str]) -> str:
    """A group's table, with a title, and what went wrong below it."""
    cases = [case for case in group.cases if case.key in found]
    text = LAYOUTS[group.layout](found, cases, servers)
    parts = [f"### {group.title}", text]
    if group.layout == "ratios" and any(mark(found[case.key], name) for case in cases for name in servers):
        parts.append(STARRED)
    parts += list(faults(found))
    return "\n\n".join(parts)


def faults(found: dict[str, Rounds]) -> Iterable[str]:
    """What failed, and where the load fell behind: one line for each server and case."""
    for key, rounds in found.items():
        for server, measured in rounds.items():
            missing = sum(each is None for each in measured)
            if missing:
                yield f"{server}, {key}: {missing} of {len(measured)} rounds failed."
            bad = sum(each.get("failed", 0) + each.get("lost", 0) for each in measured if each)
            if bad:
                done = sum(each.get("done", 0) for each in measured if each)
                yield f"{server}, {key}: {bad:,.0f} failed or had no answer, {done:,.0f} did."
            late, mean = (figures(rounds, server, name) for name in ("sent_late_us", "mean_us"))
            if late and mean and late.middle > LATE * mean.middle:
                yield f"{server}, {key}: the load itself sent {late.middle / 1e3:,.2f} ms late on average."


def verdicts(results: dict[str, dict[str, Rounds]]) -> str:
    """What we hold ourselves to, and whether it was met."""
    rows = [["", "figure", "measured", "at least", "aim", ""]]
    for target in HELD_TO:
        rounds = results.get(target.group, {}).get(target.case)
        if rounds is None or OURS not in rounds or (target.peer and target.peer not in rounds):
            continue
        if target.peer:
            found = ratio(rounds, target.figure, target.peer)
            what = f"of {target.peer}"
        else:
            found = figures(rounds, OURS, target.figure)
            what = target.figure
        row = [f"{target.group} {target.case}", what, show(found, ",.2f" if target.peer else ",.0f")]
        limits = [format(value, "g" if value < 1e6 else ",.0f") for value in (target.at_least, target.aim)]
        rows.append([*row, *limits, judge(target, found)])
    return "### What we hold ourselves to\n\n" + table(rows)


def judge(target: Target, found: Spread | None) -> str:
    """``aim``, ``met`` or ``missed``, by the median."""
    if found is None:
        return "failed"
    sign = 1 if target.peer else -1  # a ratio is to be high; time and memory are to be low
    if sign * found.middle >= sign * target.aim:
        return "aim"
    return "met" if sign * found.middle >= sign * target.at_least else "missed"

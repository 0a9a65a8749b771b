"""Conditional requests of HTTP: whether what the client has is still good.  RFC 9110, section 13."""

from __future__ import annotations

import re
from enum import Enum

from attrs import frozen

_TAG = re.compile(r'(?:W/)?"[^"]*"')


class Condition(Enum):
    """What becomes of a conditional request."""

    HOLDS = "holds"  # do what was asked
    NOT_MODIFIED = "not modified"  # status 304
    FAILED = "failed"  # status 412


@frozen
class Validators:
    """What tells one version of a file from another; a file that is not there has neither."""

    etag: str | None = None
    """Its strong entity tag, quotes included."""
    modified: int | None = None
    """When it was last modified, in whole seconds since the epoch."""


@frozen
class Conditions:
    """The conditional headers of one request; ``None`` where there is none, or its date is no date."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: int | None = None
    """Seconds since the epoch."""
    if_unmodified_since: int | None = None
    """Seconds since the epoch."""

    def judge(self, current: Validators, reading: bool) -> Condition:
        """What becomes of the request, by the order of precedence of section 13.2.2.

        :param current: the file as it is now.
        :param reading: whether the method is GET or HEAD.
        """
        if self.if_match is not None:
            if not _listed(self.if_match, current.etag, weak=False):
                return Condition.FAILED
        elif self.if_unmodified_since is not None and (
            current.modified is None or current.modified > self.if_unmodified_since
        ):
            return Condition.FAILED
        if self.if_none_match is not None:
            if _listed(self.if_none_match, current.etag, weak=True):
                return Condition.NOT_MODIFIED if reading else Condition.FAILED
        elif (
            reading
            and self.if_modified_since is not None
            and current.modified is not None
            and current.modified <= self.if_modified_since
        ):
            return Condition.NOT_MODIFIED
        return Condition.HOLDS


def _listed(header: str, etag: str | None, weak: bool) -> bool:
    """Whether a list of entity tags holds ``etag``; ``*`` holds that of every file that is there."""
    if etag is None:
        return False
    if header.strip() == "*":
        return True
    tags = _TAG.findall(header)
    return etag in tags or (weak and f"W/{etag}" in tags)

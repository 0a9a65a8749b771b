"""Conditional requests, by the order of precedence."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.conditions import Condition, Conditions, Validators

HERE = Validators('"v1"', 100)
NOWHERE = Validators()
HOLDS, NOT_MODIFIED, FAILED = Condition.HOLDS, Condition.NOT_MODIFIED, Condition.FAILED


class JudgeTests(SynchronousTestCase):
    def assert_judged(self, expected: Condition, current: Validators = HERE, reading: bool = True, **headers):
        self.assertIs(Conditions(**headers).judge(current, reading), expected)

    def test_none(self) -> None:
        """Without a condition everything goes on."""
        self.assert_judged(HOLDS)
        self.assert_judged(HOLDS, NOWHERE, reading=False)

    def test_if_none_match(self) -> None:
        """A tag that the client has, weak or strong, needs not be sent; a change of it is refused."""
        for header in ('"v1"', 'W/"v1"', '"v0", "v1"', '"v0",W/"v1"', "*", " * "):
            self.assert_judged(NOT_MODIFIED, if_none_match=header)
            self.assert_judged(FAILED, reading=False, if_none_match=header)
        for header in ('"v2"', "v1", '"*"', '""', ""):
            self.assert_judged(HOLDS, if_none_match=header)
        self.assert_judged(HOLDS, NOWHERE, reading=False, if_none_match="*")

    def test_if_modified_since(self) -> None:
        """What has not changed since is not sent; the condition counts for reading only."""
        self.assert_judged(NOT_MODIFIED, if_modified_since=100)
        self.assert_judged(NOT_MODIFIED, if_modified_since=101)
        self.assert_judged(HOLDS, if_modified_since=99)
        self.assert_judged(HOLDS, reading=False, if_modified_since=101)
        self.assert_judged(HOLDS, NOWHERE, if_modified_since=101)

    def test_tag_before_date(self) -> None:
        """If-None-Match takes the place of If-Modified-Since, If-Match that of If-Unmodified-Since."""
        self.assert_judged(HOLDS, if_none_match='"v0"', if_modified_since=101)
        self.assert_judged(HOLDS, if_match='"v1"', if_unmodified_since=1)

    def test_if_match(self) -> None:
        """Only what the client means is given or changed; weak tags mean nothing exact."""
        for header in ('"v1"', '"v0", "v1"', "*"):
            self.assert_judged(HOLDS, if_match=header)
        for header in ('"v2"', 'W/"v1"', ""):
            self.assert_judged(FAILED, if_match=header)
        self.assert_judged(FAILED, NOWHERE, reading=False, if_match="*")

    def test_if_unmodified_since(self) -> None:
        """What has changed since is neither given nor changed."""
        self.assert_judged(HOLDS, if_unmodified_since=100)
        self.assert_judged(FAILED, if_unmodified_since=99)
        self.assert_judged(FAILED, NOWHERE, reading=False, if_unmodified_since=99)

    def test_both(self) -> None:
        """A file that is the right one and that the client has is not sent."""
        self.assert_judged(NOT_MODIFIED, if_match='"v1"', if_none_match='"v1"')

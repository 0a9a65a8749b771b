"""Sessions in a real Redis: the contract of stores."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TypeVar
from unittest import SkipTest

import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.stores.redis.sessions import RedisSessionStore
from tcpsuite.testing.stores import SessionStoreContract
from tests.integration.support.programs import free_port, need
from tests.integration.support.redis import Redis
from tests.support.redis_stores import redis_store

T = TypeVar("T")


class RedisStoreContractTests(SessionStoreContract, SynchronousTestCase):
    """The contract, over a connection, with a prefix for each test."""

    server: Redis

    @classmethod
    def setUpClass(cls) -> None:
        """Start a Redis for all of them."""
        if "PYTEST_CURRENT_TEST" not in os.environ:
            raise SkipTest("it waits for a network, which takes pytest")
        need("redis-server")
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.server = cls.enterClassContext(Redis(free_port(), Path(folder.name))).started()

    def make_store(self) -> RedisSessionStore:
        """A store of this test alone."""
        store = redis_store(self.server.port, prefix=f"{self.id()}:")
        self.addCleanup(lambda: self.wait_for(store.close()))
        return store

    def wait_for(self, asked: Deferred[T]) -> T:
        """What it fires with, when that has come."""
        answer: T = pytest_twisted.blockon(asked)
        return answer

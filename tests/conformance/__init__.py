"""Twisted's own tests, on our reactor and on stock epoll beside it."""

"""Starts what the integration tests talk to: tcpsuite itself, Redis, PostgreSQL, fresh environments."""

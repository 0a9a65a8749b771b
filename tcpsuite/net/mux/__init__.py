"""Many streams on one connection, each a transport: see ``docs/mux.md``."""

"""Messages, without a connection."""

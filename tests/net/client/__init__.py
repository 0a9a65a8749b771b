"""The client of the message service."""

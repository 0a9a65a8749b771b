"""Real processes, real servers, real clients: what a user does, and sees."""

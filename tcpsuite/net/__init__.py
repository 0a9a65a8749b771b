"""Acts: sockets, timers and threads that carry out what ``core`` decided."""

"""What a listener serves.  Each is a plain Twisted factory that knows no configuration file."""

"""Looking in from outside: the admin listener, the access log, the manhole."""

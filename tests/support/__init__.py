"""What the tests share: the watch over leaks, and real programs to test against."""

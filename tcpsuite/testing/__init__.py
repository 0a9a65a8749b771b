"""For those who write providers: fakes, and a contract suite for each interface.

A contract suite is a mixin for ``twisted.trial.unittest.SynchronousTestCase``: subclass both, build your
provider in the one method that it asks for, and run it under pytest or trial.  The built-ins pass them.
"""

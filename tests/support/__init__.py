"""Shared by tests and benchmarks: real servers on private ports, and waiting for conditions.

Nothing here knows the gateway. A server started from here lives in a directory of its own, listens on
loopback only, and is gone with everything it started when its `with` block ends or its owner dies.
"""

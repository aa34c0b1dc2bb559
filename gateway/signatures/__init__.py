"""Prove who sent a request: pure functions of bytes and headers.

Nothing here opens a socket, reads the clock (``now`` is an argument) or looks at the environment, and nothing
here imports another room of the gateway.
"""

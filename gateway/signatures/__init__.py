"""Signatures: prove who sent a request, with pure functions of bytes and headers.

Nothing here opens a socket, reads the clock (``now`` is an argument) or reads the environment, and nothing imports another
package of the gateway.
"""

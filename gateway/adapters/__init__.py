"""Adapters: the grammar of ``providers/*.yaml``, and the identity, the summary and the handshakes of a provider's events.

Like :mod:`gateway.signatures` the modules are pure: no socket, no clock, no environment.
"""

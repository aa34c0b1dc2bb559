"""What an adapter is: the grammar of ``providers/*.yaml``, and how a provider's events are identified and summarised.

Pure, as :mod:`gateway.signatures` is: no socket, no clock, no environment.
"""

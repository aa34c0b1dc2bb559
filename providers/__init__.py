"""What each sender of webhooks does, as pure functions of bytes: verify, identify.

Nothing here opens a socket, reads the clock (``now`` is an argument) or looks at the environment, and
nothing here imports the gateway. A sender is a YAML file in the grammar of :mod:`providers.spec`.
"""

from providers.adapter import Adapter, BoundAdapter
from providers.identity import Identity
from providers.rejections import MalformedRequest, Rejection, SignatureRejected
from providers.request import Headers, RawRequest, VerifiedRequest

__all__ = [
    "Adapter",
    "BoundAdapter",
    "Headers",
    "Identity",
    "MalformedRequest",
    "RawRequest",
    "Rejection",
    "SignatureRejected",
    "VerifiedRequest",
]

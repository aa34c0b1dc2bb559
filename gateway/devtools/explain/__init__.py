"""Explain why a captured request fails verification, offline, by undoing common mistakes one at a time.

Nothing here prints a signature or a secret: the input is a capture, and the output are sentences about it.
"""

from gateway.devtools.explain.capture import Capture, read_capture
from gateway.devtools.explain.case import Case
from gateway.devtools.explain.report import Explanation, explain

__all__ = ["Capture", "Case", "Explanation", "explain", "read_capture"]

"""Why a captured request does not verify: found out offline, by trying what commonly goes wrong.

Nothing here prints a signature or a secret: a capture and a hypothesis go in, a sentence comes out.
"""

from gateway.devtools.explain.capture import Capture, read_capture
from gateway.devtools.explain.case import Case
from gateway.devtools.explain.report import Explanation, explain

__all__ = ["Capture", "Case", "Explanation", "explain", "read_capture"]

"""Makes the benchmarks importable, and leaves `gateway` the installed one."""

from __future__ import annotations

import sys

from support.repository import ROOT

sys.path.append(str(ROOT))

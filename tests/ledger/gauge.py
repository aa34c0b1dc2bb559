"""The memory and the open files of the gateway, sampled through all its lives."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.gateway_process import GatewayProcess
from support.process import descendants

_EVERY = 0.5
_KIB_IN_MIB = 1024


class Gauge:
    """Samples a gateway with its workers.

    Attributes:
        first: MiB resident in the first sample under load.
        most: MiB in the largest sample.
        last: MiB in the last sample.
        first_files: open files in the first sample.
        most_files: in the largest sample.
        last_files: in the last sample.
    """

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self.first = self.most = self.last = 0.0
        self.first_files = self.most_files = self.last_files = 0

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            self.sample()

    def sample(self) -> None:
        """Look once; a gateway that is just being killed is left out."""
        try:
            pid = self._gateway.child.pid
            family = [pid, *descendants(pid)]
            memory = sum(map(_resident, family))
            files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in family)
        except OSError:
            return
        if memory:
            self.first, self.first_files = self.first or memory, self.first_files or files
            self.most, self.most_files = max(self.most, memory), max(self.most_files, files)
            self.last, self.last_files = memory, files


def _resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / _KIB_IN_MIB
    return 0.0

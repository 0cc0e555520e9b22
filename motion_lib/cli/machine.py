"""What is told of the machine that something ran on; nothing that names it or its user."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def versions() -> dict[str, str]:
    from importlib.metadata import version

    from .. import __version__

    found = {name: version(name) for name in ("torch", "diffusers", "transformers", "safetensors", "av")}
    return {"motion-inversion": __version__, "python": platform.python_version(), **found}


def machine(device: torch.device) -> dict[str, Any]:
    import torch

    found: dict[str, Any] = {"system": platform.system(), "machine": platform.machine(), "device": device.type}
    found |= {"cores": os.cpu_count(), "threads": torch.get_num_threads()}
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found["memory_bytes"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {"gpu": properties.name, "gpu_memory_bytes": properties.total_memory, "cuda": torch.version.cuda}
        found["compute_capability"] = f"{properties.major}.{properties.minor}"
    return found


class Memory:
    """The most memory since it was made: of a GPU beside what was taken before, of a CPU what the system gave to the
    process beside that, where it can be asked."""

    STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

    def __init__(self, device: torch.device):
        import torch

        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.before: int | None = torch.cuda.memory_allocated(device)
            return
        try:
            self.RESET.write_text("5")
            self.before = self._status("VmRSS")
        except OSError:  # not Linux, or not allowed
            self.before = None

    def peak(self) -> int | None:
        import torch

        if self.before is None:
            return None
        now = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else self._status("VmHWM")
        return None if now is None else max(0, now - self.before)

    def _status(self, field: str) -> int | None:
        lines = self.STATUS.read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None)

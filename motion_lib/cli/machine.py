"""What is told of the machine that something ran on; nothing that names it or its user."""

from __future__ import annotations

import os
import platform
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
    """The most memory of a GPU since it was made, beside what was taken before. Of a CPU nothing is said: what the
    system gave to a process stays with it, and tells little of what was needed."""

    def __init__(self, device: torch.device):
        import torch

        self.device, self.before = device, 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.before = torch.cuda.memory_allocated(device)

    def peak(self) -> int | None:
        """In bytes."""
        import torch

        return torch.cuda.max_memory_allocated(self.device) - self.before if self.device.type == "cuda" else None

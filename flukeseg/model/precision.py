"""What the processor is and whether it computes bf16 products natively.

Torch, which takes seconds to import, is asked only where nothing else knows.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from functools import cache
from pathlib import Path

GPU_DEVICES = ("nvidia*", "nvmap", "kfd", "dxg")
"""In /dev: of NVIDIA's driver, also on its small boards, of AMD's, and of Windows under Linux."""


def choose_precision(precision: str | int, accelerator: str = "auto") -> str | int:
    """Turn `auto` into bf16-mixed where products of bf16 are computed natively, else 32-true.

    Elsewhere bf16 is emulated and slower than float32. Anything but `auto` is returned as it is.
    """
    if precision != "auto":
        return precision
    if accelerator != "cpu" and has_gpu():
        import torch

        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = _has_bf16()
        # oneDNN, which computes for torch and OpenVINO, may be limited to less than there is
        limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
        native &= limit in ("", "ALL", "DEFAULT") or bool(re.search("BF16|AMX|FP16", limit))
    return "bf16-mixed" if native else "32-true"


def has_gpu() -> bool:
    """Tell whether torch can compute on a GPU."""
    if sys.platform == "linux" and not any(
        any(Path("/dev").glob(pattern)) for pattern in GPU_DEVICES
    ):
        return False
    import torch

    return torch.cuda.is_available()


@cache
def processor_flags() -> frozenset[str]:
    """Return what Linux says that the processor can do; nothing on other systems."""
    try:
        processors = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", processors, re.MULTILINE)
    return frozenset(flags[1].split() if flags else ())


def processor_name() -> str:
    """Return the processor's name, or its architecture where this torch does not know the name."""
    import torch

    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return capabilities.get("cpu_name") or platform.processor() or platform.machine()


def _has_bf16() -> bool:
    if flags := processor_flags():
        return bool({"avx512_bf16", "amx_tile"} & flags)
    import torch

    # get_capabilities, which is public, is newer than the oldest torch that is supported
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()

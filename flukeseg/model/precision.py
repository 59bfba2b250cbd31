"""What the processor is and whether it computes bf16 products natively."""

from __future__ import annotations

import os
import platform
import re

import torch


def choose_precision(precision: str | int, accelerator: str = "auto") -> str | int:
    """Turn `auto` into bf16-mixed where products of bf16 are computed natively, else 32-true.

    Elsewhere bf16 is emulated and slower than float32. Anything but `auto` is returned as it is.
    """
    if precision != "auto":
        return precision
    if accelerator != "cpu" and torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # get_capabilities, which is public, is newer than the oldest torch that is supported
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        # oneDNN, which computes for torch and OpenVINO, may be limited to less than there is
        limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
        native &= limit in ("", "ALL", "DEFAULT") or bool(re.search("BF16|AMX|FP16", limit))
    return "bf16-mixed" if native else "32-true"


def processor_name() -> str:
    """Return the processor's name, or its architecture where this torch does not know the name."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return capabilities.get("cpu_name") or platform.processor() or platform.machine()

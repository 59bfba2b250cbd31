"""What the processor is and whether it computes bf16 products natively."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import torch


def choose_precision(precision: str | int, accelerator: str = "auto") -> str | int:
    """Turn `auto` into bf16-mixed where products of bf16 are computed natively, else 32-true.

    Elsewhere bf16 is emulated and slower than float32. Anything but `auto` is given back as it is.
    """
    if precision != "auto":
        return precision
    if accelerator != "cpu" and torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = bool({"amx_bf16", "avx512_bf16"} & set(_cpuinfo("flags").split()))
        # oneDNN, which computes for torch and OpenVINO, may be told to use less than there is
        limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
        native &= limit in ("", "ALL", "DEFAULT") or bool(re.search("BF16|AMX|FP16", limit))
    return "bf16-mixed" if native else "32-true"


def processor_name() -> str:
    """Name of the processor, as the system gives it."""
    return _cpuinfo("model name") or platform.processor()


def _cpuinfo(key: str) -> str:
    # older torch cannot tell; where this file is missing (not Linux), nothing is assumed
    path = Path("/proc/cpuinfo")
    found = path.exists() and re.search(rf"^{key}\s*: (.*)$", path.read_text(), re.MULTILINE)
    return found[1] if found else ""

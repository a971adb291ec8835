"""What this processor does well, read without torch and without OpenVINO."""

from __future__ import annotations

import platform
import shutil
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
"""Where Linux lists the processor's instruction sets; elsewhere they are not known here."""

_ARITHMETIC = ("amx", "avx", "fma", "asimd", "sve", "sme", "bf16", "i8mm")
_CUDA_DEVICES = (Path("/dev/nvidia0"), Path("/dev/nvidiactl"), Path("/dev/dxg"))


@cache
def bf16_is_faster() -> bool:
    """Tell whether bfloat16 is faster than float32 on this processor.

    Having the instructions is not enough: Intel processors multiply bfloat16 faster in their
    AMX tiles only. Measured through OpenVINO, one thread: an Emerald Rapids whose AMX the virtual
    machine hides needs 1.7 times as long in bf16 as in fp32, a Zen 5 with AVX-512 BF16 half as
    long.

    Returns:
        Whether there are AMX tiles, or AVX-512 BF16 on an AMD processor. False where the
        instruction sets cannot be read.
    """
    flags, vendor = _flags_and_vendor()
    return "amx_bf16" in flags or ("avx512_bf16" in flags and vendor == "AuthenticAMD")


@cache
def int8_is_faster() -> bool:
    """Tell whether the processor has int8 dot products (VNNI, or the ARM counterpart)."""
    flags, _ = _flags_and_vendor()
    return not flags.isdisjoint({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"})


def may_have_cuda() -> bool:
    """Tell whether it is worth loading torch to look for a CUDA device; no library is loaded."""
    return any(path.exists() for path in _CUDA_DEVICES) or shutil.which("nvidia-smi") is not None


def processor_name() -> str:
    """Return the processor's name, for tables and precision reports."""
    return _field("model name") or platform.processor() or platform.machine()


@cache
def instruction_sets() -> str:
    """Return what the processor has for the arithmetic of networks, in one line.

    Two processors with the same line compute the same labels; with others the last bits of
    logits may differ. Empty where the instruction sets cannot be read.
    """
    flags, _ = _flags_and_vendor()
    return " ".join(sorted(flag for flag in flags if flag.startswith(_ARITHMETIC)))


def _flags_and_vendor() -> tuple[frozenset[str], str]:
    flags = _field("flags") or _field("Features")  # x86, ARM
    return frozenset(flags.split()), _field("vendor_id")


@cache
def _field(name: str) -> str:
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in found if key.strip() == name), "")

"""Holding the peers to AVX2 on a machine that has more.

oneDNN (in OpenVINO and PyTorch), PyTorch and MKL have variables for it. MLAS (ONNX Runtime), XNNPACK (LiteRT), ncnn, rten and
tract ask the processor and offer no switch, so the library of hold_avx2.c answers in the processor's place; it holds all of them.
"""
from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

# Names as of each library's documentation of its dispatcher.
SWITCHES = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "DNNL_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
# The C library chooses its copies before anything is preloaded.
TUNABLES = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD"
ARCH_PRCTL, ARCH_GET_CPUID = 158, 0x1011


def machine_can_fault() -> bool:
    """Whether the kernel can make `cpuid` fault: Linux on x86-64, and the processor or hypervisor lets it."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    if " cpuid_fault" not in flags or os.uname().machine != "x86_64":
        return False
    return ctypes.CDLL(None).syscall(ARCH_PRCTL, ARCH_GET_CPUID, 0) == 1


def library(work: Path) -> Path | None:
    """Builds the library, once for a work folder; None without a compiler or on a machine that cannot fault."""
    if not machine_can_fault():
        return None
    built, source = work / "libhold_avx2.so", Path(__file__).parent / "hold_avx2.c"
    command = [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", str(source), "-o", str(built)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return built


def environment(preload: Path | None) -> dict[str, str]:
    """The variables of a held process."""
    if preload is None:
        return SWITCHES
    return SWITCHES | {"LD_PRELOAD": str(preload), "GLIBC_TUNABLES": TUNABLES}

"""Whether the processor computes in bfloat16, found out without importing TensorFlow."""

import os
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_FLAGS = {"avx512_bf16", "amx_bf16"}  # Linux's names of the instructions
# What oneDNN, which computes convolutions, can be limited to. It then emulates bfloat16, which is
# slower than float32.
_WITHOUT = {
    *("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2"),
    *("AVX512_CORE", "AVX512_CORE_VNNI"),
}


def has_bfloat16(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether TensorFlow has instructions for products in bfloat16 on this processor.

    Args:
        cpuinfo: Linux's file; where there is none, nothing is known and the answer is no.
    """
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":  # TensorFlow is kept from oneDNN
        return False
    # oneDNN's own variable, and its older name.
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    if limit.upper() in _WITHOUT:
        return False
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = {
        flag
        for line in text.splitlines()
        if line.startswith("flags")
        for flag in line.partition(":")[2].split()
    }
    return bool(flags & _FLAGS)

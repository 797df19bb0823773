"""Made-up /proc/cpuinfo files, and what keeps oneDNN from the instructions."""

import pytest

from modules.machines.cpu import has_bfloat16

VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS")


@pytest.fixture(autouse=True)
def without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def cpuinfo(tmp_path, flags: str):
    path = tmp_path / "cpuinfo"
    core = f"processor\t: 0\nmodel name\t: Some avx512_bf16 name\nflags\t\t: fpu sse2 {flags}\n\n"
    path.write_text(core * 2)
    return path


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("avx512f avx512_bf16", True),
        ("amx_bf16 amx_tile", True),
        ("avx512f avx512_vnni", False),
        ("avx512_bf16x", False),
        ("", False),
    ],
)
def test_the_flags_of_the_processor_count(tmp_path, flags, expected):
    assert has_bfloat16(cpuinfo(tmp_path, flags)) is expected


@pytest.mark.parametrize("content", [None, b"", b"\xff\x00flags", b"Features\t: fp asimd bf16\n"])
def test_another_system_has_none(tmp_path, content):
    path = tmp_path / "cpuinfo"
    if content is not None:
        path.write_bytes(content)
    assert not has_bfloat16(path)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, False),
        ({"DNNL_MAX_CPU_ISA": "avx2"}, False),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, True),
        ({"ONEDNN_MAX_CPU_ISA": "DEFAULT", "DNNL_MAX_CPU_ISA": "AVX2"}, True),
        ({"ONEDNN_MAX_CPU_ISA": ""}, True),
        ({"TF_ENABLE_ONEDNN_OPTS": "0"}, False),
        ({"TF_ENABLE_ONEDNN_OPTS": "1"}, True),
    ],
)
def test_what_keeps_onednn_from_it_counts_too(tmp_path, monkeypatch, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert has_bfloat16(cpuinfo(tmp_path, "avx512_bf16")) is expected

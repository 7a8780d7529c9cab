"""`npu-dump doctor` beside an NPU, well and broken: faults are put into the stand-in as soon as it is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from .doctor_support import Environment, Told

# The tables know no torch_npu as new as the torch of these tests, and the stand-in names no version.
UNKNOWN = {"fit/torch_npu-torch", "fit/torch_npu-python", "fit/torch_npu-cann"}


class Npu(Environment):
    """An environment with the stand-in, its driver's program and CANN."""

    def told(self, faults: str = "", *arguments: str) -> Told:
        path = self.folder / "faults.py"
        path.write_text(f"import torch\nfrom torch_npu import chip, npu, tensor\nchips = chip.CHIPS\n{faults}\n")
        return self.doctor(*arguments, STANDIN_FAULTS=str(path), ASCEND_TOOLKIT_HOME=str(self.folder / "cann"))


@pytest.fixture
def npu(tmp_path: Path) -> Npu:
    environment = Npu(tmp_path)
    environment.cann("8.5.1")
    environment.installed("torch_npu", torch.__version__.split("+")[0])
    row = "printf '| 0 910B2 | OK | 1 |\\n| 0 | 0000:C1:00.0 | 0 / 0  99 / 65536 |\\n'"
    environment.npu_smi(f"printf '| npu-smi 25.5.2 Version: 25.5.2 |\\n'; {row}")
    return environment


def not_ok(told: Told) -> dict[str, str]:
    return {
        name: check["status"]
        for name, check in told.checks.items()
        if check["status"] in ("warning", "fail") and name not in UNKNOWN
    }


def test_a_healthy_npu(npu: Npu) -> None:
    told = npu.told()
    assert told.code == 0
    assert not_ok(told) == {}
    assert {told.status(name) for name in UNKNOWN} == {"warning"}
    assert told.checks["device"]["figures"]["name"] == "Ascend910B2"
    assert told.checks["device"]["figures"]["cann"] == "8.5.1"
    assert told.checks["memory"]["figures"] == {"free_bytes": 64 << 30, "total_bytes": 64 << 30}
    assert told.checks["npu-smi"]["figures"]["driver"] == "25.5.2"
    assert told.checks["dtypes"]["figures"]["supported"] == [
        *("bfloat16", "float16", "float32", "float8_e4m3fn", "float8_e5m2")
    ]
    assert told.status("matmul/float64") == "not-run"
    assert told.checks["matmul/bfloat16"]["figures"]["effective_bits"] == pytest.approx(8, abs=0.1)


def test_hf32_is_a_warning_that_names_the_switch(npu: Npu) -> None:
    told = npu.told("npu.matmul.allow_hf32 = True")
    assert told.code == 0
    found = told.checks["matmul/float32"]
    assert found["status"] == "warning"
    # 11 bits of mantissa and the implied one, less half a bit for two operands.
    assert found["figures"]["effective_bits"] == pytest.approx(11.5, abs=0.1)
    assert found["figures"]["reduced_to"] == "HF32"
    assert "torch.npu.matmul.allow_hf32 is True" in found["next"]
    assert not_ok(told) == dict.fromkeys(("matmul/float32", "model/forward", "model/backward"), "warning")
    assert 1e-5 < told.checks["model/forward"]["figures"]["relative_error"] < 2**-8


ROUND = """
def product(a, b):
    if a.dtype == torch.float32:
        bits = (x.contiguous().view(torch.int32) for x in (a, b))
        a, b = (((x + 0x1000) & ~0x1FFF).view(torch.float32) for x in bits)
    return torch.mm(a, b)
tensor._KERNELS['aten::mm'] = product
"""


def test_tf32_without_a_switch(npu: Npu) -> None:
    """Operands of 10 bits of mantissa, ties away from zero, as NVIDIA's instruction rounds them."""
    found = npu.told(ROUND).checks["matmul/float32"]
    assert found["status"] == "warning"
    assert found["figures"]["effective_bits"] == pytest.approx(10.5, abs=0.1)
    assert found["figures"]["reduced_to"] == "TF32"
    assert "no switch of torch is on" in found["next"]
    assert "op_precision_mode" in found["next"]


def kernel(body: str) -> str:
    """A product that is right but in the large ones of one dtype."""
    lines = ["y = torch.mm(a, b)", f"if y.shape == (256, 256): {body}", "return y"]
    return "def product(a, b):\n    " + "\n    ".join(lines) + "\ntensor._KERNELS['aten::mm'] = product"


@pytest.mark.parametrize(
    ("faults", "expected", "said"),
    [
        (kernel("y = y * 1.001"), {"matmul/float32": "fail"}, "no number format of operands explains that"),
        (kernel("y[-1, -1] += 3"), {"matmul/float32": "fail"}, "no number format of operands explains that"),
        (kernel("y[7] = float('nan')"), {"matmul/float32": "fail"}, "256 of 65536 elements are not finite"),
        ("tensor._KERNELS['aten::mm'] = lambda a, b: a * b", {"dtypes": "fail"}, "small whole numbers is wrong"),
        ("chips[0].failing = {'aten::mm': 'EZ9999: code 507015'}", {"dtypes": "fail"}, "code 507015"),
        ("chips[0].failing = {'aten::silu': 'EZ9999: code 507015'}", {"model/forward": "fail"}, "code 507015"),
        (
            "tensor._KERNELS['aten::_log_softmax_backward_data'] = lambda grad, *_: grad",
            {"model/backward": "fail"},
            "gradients in float32: relative error",
        ),
        ("chips[0].closed = 507033", {"device": "fail"}, "error code is 507033"),
        ("npu.is_available = None", {"device": "fail"}, "TypeError"),
        ("chips.clear()", {"device": "fail"}, "torch_npu is installed but sees no NPU"),
        ("chips[0].capacity = 300_000", {"matmul/float32": "fail"}, "NPU out of memory"),
        ("tensor._KERNELS['aten::mm'] = lambda a, b: __import__('os').abort()", {"dtypes": "fail"}, "(SIGABRT)"),
        ("raise ImportError('libhccl.so: cannot open shared object file')", {"torch_npu": "fail"}, "libhccl.so"),
    ],
)
def test_what_is_broken_fails(npu: Npu, faults: str, expected: dict[str, str], said: str) -> None:
    told = npu.told(faults)
    assert told.code == 1
    failed = {name: status for name, status in not_ok(told).items() if status == "fail"}
    assert expected.items() <= failed.items()
    name = next(iter(expected))
    assert next(iter(failed)) == name
    assert said in told.checks[name]["summary"]


def test_float16_with_a_single_wrong_element(npu: Npu) -> None:
    """Among 65,536 right ones its error is none of the norm's."""
    found = npu.told(kernel("y[3, 5] += 0.5 * (y.dtype == torch.float16)"))
    assert found.status("matmul/float16") == "fail"
    assert found.checks["matmul/float16"]["figures"]["outliers"] == 1
    assert "1 of 65536 elements" in found.checks["matmul/float16"]["summary"]


def test_float16_sums_kept_in_float16(npu: Npu) -> None:
    body = "y = sum((a[:, k:k+1] @ b[k:k+1] for k in range(256)), y * 0) if y.dtype == torch.float16 else y"
    told = npu.told(kernel(body))
    found = told.checks["matmul/float16"]
    assert found["status"] == "warning"
    assert found["figures"]["effective_bits"] == pytest.approx(7.5, abs=0.75)
    assert "sums" in found["summary"]


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ("npu.mem_get_info = None", "TypeError"),
        ("del npu.mem_get_info", "AttributeError"),
        ("npu.mem_get_info = lambda device: (5, 3)", "5 bytes are said to be free, of 3"),
        ("npu.mem_get_info = lambda device: (0, 0)", "0 bytes are said to be free, of 0"),
        ("npu.mem_get_info = lambda device: (1 << 30, 64 << 30)", "1.0 GiB free of 64.0 GiB"),
    ],
)
def test_memory_that_is_unknown_or_taken(npu: Npu, faults: str, said: str) -> None:
    told = npu.told(faults)
    assert told.code == 0
    assert not_ok(told) == {"memory": "warning"}
    assert said in told.checks["memory"]["summary"]


def test_a_chip_without_bfloat16(npu: Npu) -> None:
    told = npu.told("chips[0].without_dtypes |= {torch.bfloat16}")
    assert told.code == 0
    assert not_ok(told) == {"dtypes": "warning"}
    assert "not implemented for DT_BFLOAT16" in told.checks["dtypes"]["summary"]
    assert "another --dtype than bfloat16" in told.checks["dtypes"]["next"]
    assert told.status("matmul/bfloat16") == "not-run"


def test_the_second_chip_is_checked_where_it_is_named(npu: Npu) -> None:
    faults = "chips[0].closed = 507033; chips[1].capacity = 32 << 30"
    told = npu.told(faults, "--device", "npu:1")
    assert told.code == 0
    # PyTorch's autograd knows one device of a type that is made in Python; captures need none.
    assert not_ok(told) == {"model/backward": "warning"}
    assert "captures compute no gradients" in told.checks["model/backward"]["next"]
    assert told.checks["memory"]["figures"]["total_bytes"] == 32 << 30
    told = npu.told(faults, "--device", "npu:2")
    assert "there is no device npu:2" in told.checks["device"]["summary"]


def test_the_cpu_is_checked_where_torch_npu_is_broken(npu: Npu) -> None:
    told = npu.told("raise OSError('libascend_hal.so: cannot open shared object file')", "--device", "cpu")
    assert told.code == 1
    assert not_ok(told) == {"torch_npu": "fail"}
    assert "driver" in told.checks["torch_npu"]["next"]
    assert told.status("matmul/float32") == "ok"


def test_no_driver(npu: Npu) -> None:
    (npu.folder / "bin" / "npu-smi").unlink()
    told = npu.told("chips.clear()")
    assert told.code == 1
    assert told.checks["npu-smi"]["summary"] == "npu-smi is not on PATH"
    assert "/dev/davinci" in told.checks["device"]["next"]

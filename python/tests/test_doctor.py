"""`npu-dump doctor` on this machine, and where imports and programs really fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from .command import program
from .doctor_support import NO_TORCH, Environment

TABLE = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 24.1.rc3.7               Version: 24.1.rc3.7                                           |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B3               | OK            | 101.8       43                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3318 / 65536         |
+===========================+===============+====================================================+
| 5     910B4               | OK            | 89.9        39                0    / 0             |
| 0                         | 0000:C2:00.0  | 0           0    / 0          52675/ 32768         |
+===========================+===============+====================================================+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
| 0       0                 | 2834          | python                   | 3000                    |
+===========================+===============+====================================================+
"""
# Two chips on a card, their numbers in one cell, and a chip whose memory is no HBM.
CARDS = """\
| npu-smi 25.5.2                   Version: 25.5.2                                               |
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip  Phy-ID              | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
| 0     Ascend910           | OK            | 178.9       36                0    / 0             |
| 0     0                   | 0000:9D:00.0  | 0           0    / 0          3412 / 65536         |
| 0     Ascend910           | Alarm         | -           36                0    / 0             |
| 1     1                   | 0000:9F:00.0  | 0           1103 / 13552      0    / 0             |
"""


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    return Environment(tmp_path)


def test_this_machine_has_the_bits_of_theory(here: Environment) -> None:
    told = here.doctor("--device", "cpu")
    assert told.code == 0
    bits = {name: told.checks[f"matmul/{name}"]["figures"]["effective_bits"] for name in ("bfloat16", "float16")}
    # Every element is rounded once, to what PyTorch says that the format has.
    for name, found in bits.items():
        eps = torch.finfo(getattr(torch, name)).eps
        assert found == pytest.approx(1 - torch.tensor(eps).log2().item(), abs=0.1)
    # A walk of 256 roundings costs at most √128 of one; none costs nothing.
    assert 24 - 3.5 <= told.checks["matmul/float32"]["figures"]["effective_bits"] <= 24
    assert 53 - 4 <= told.checks["matmul/float64"]["figures"]["effective_bits"] <= 53
    for name in ("float32", "bfloat16", "float16", "float64"):
        figures = told.checks[f"matmul/{name}"]["figures"]
        assert told.status(f"matmul/{name}") == "ok"
        assert (figures["outliers"], figures["reduced_to"]) == (0, None)
        assert figures["gflops"] > 0.01
    for name in ("model/forward", "model/backward"):
        assert 1e-8 < told.checks[name]["figures"]["relative_error"] < 1e-5
    assert told.checks["device"]["figures"]["device"] == "cpu"
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert told.checks["memory"]["figures"]["total_bytes"] == pytest.approx(total, rel=0.01)


def test_the_report_is_a_line_a_check(here: Environment) -> None:
    here.package("torch", NO_TORCH)
    told, lines = here.doctor(), here.shown().split("\n")
    shown = [re.fullmatch(r"(ok|warning|FAIL|not run) +(\S+) +\S.*", line) for line in lines]
    words = {"fail": "FAIL", "not-run": "not run"}
    expected = [(words.get(check["status"], check["status"]), name) for name, check in told.checks.items()]
    assert [match.groups() for match in shown if match] == expected
    failed = next(number for number, line in enumerate(lines) if line.startswith("FAIL"))
    assert lines[failed + 1].strip().startswith("next: pip install")
    assert lines[-2] == "1 ok, 1 FAIL, 15 not run"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (NO_TORCH, "ImportError: libtorch_cpu.so: cannot open shared object file"),
        ("import os; os.abort()", "died in this check: signal 6 (SIGABRT)"),
        ("import os; os._exit(0)", "died in this check: exit code 0"),
        ("import time; time.sleep(60)", "not done after 2 s"),
        ("raise RuntimeError('\\x1b[31mred\\nmore')", "RuntimeError: \x1b[31mred"),
        ("raise RuntimeError('x' * 10**6)", "RuntimeError: xxx"),
        ("__version__ = '2.1.0'", "2.5 or newer is needed"),
        ("__version__ = 'banana'", "2.5 or newer is needed"),
    ],
)
def test_a_torch_that_cannot_be_imported(here: Environment, code: str, said: str) -> None:
    here.package("torch", code)
    told = here.doctor("--timeout", 2)
    assert told.code == 1
    assert told.status("torch") == "fail"
    assert said in told.checks["torch"]["summary"]
    assert len(told.checks["torch"]["summary"]) < 400
    assert told.checks["matmul/float32"]["summary"] == "torch must work first"
    assert "\x1b" not in here.shown("--timeout", 2)


def test_what_is_printed_before_the_checks_is_no_check(here: Environment) -> None:
    """A start-up file that prints what looks like the end of it all."""
    here.package(
        "sitecustomize", "import sys\nif sys.argv[0] == '-c': print('{\"end\": true}'); print('[1]'); print(7)"
    )
    told = here.doctor()
    assert told.code == 1
    assert "ended before it had told of all checks" in told.checks["torch"]["summary"]


def test_torch_is_not_taken_from_the_working_folder(here: Environment, tmp_path: Path) -> None:
    """As the installed program runs: a model's folder may hold anything."""
    work = tmp_path / "work"
    work.mkdir()
    for name in ("torch", "json", "npu_dump", "vllm"):
        (work / f"{name}.py").write_text("open('ran', 'w').close(); raise ImportError('of the working folder')")
    start = "import sys; sys.path.remove(''); from npu_dump.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = here.environment(PYTHONPATH=str(Path(__file__).parents[1] / "src"))
    command = [sys.executable, "-c", start, "doctor", "--device", "cpu"]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert not (work / "ran").exists()
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"not run +vllm ", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--device", "gpu"], "device-unknown"),
        (["--device", ""], "device-unknown"),
        (["--device", "\x1b[2J"], "device-unknown"),
        (["--timeout", "0"], "usage"),
        (["--timeout", "nan"], "usage"),
        (["--timeout", "1e300"], "usage"),
        (["cpu"], "usage"),
    ],
)
def test_usage(arguments: list[str], code: str) -> None:
    done = program("doctor", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.strip().split("\n")
    assert lines[0].startswith(f"error[{code}]: ")
    assert lines[-1].startswith("  help: ")
    assert "\x1b" not in done.stderr


def test_a_device_that_is_not_there(here: Environment) -> None:
    told = here.doctor("--device", "cuda:0", CUDA_VISIBLE_DEVICES="")
    assert told.code == 1
    assert "torch sees no cuda device" in told.checks["device"]["summary"]
    assert "nvidia-smi" in told.checks["device"]["next"]


def test_npu_smi_tells_driver_chips_and_memory(here: Environment) -> None:
    here.package("torch", NO_TORCH)
    here.npu_smi(f"cat <<'END'\n{TABLE}END")
    found = here.doctor().checks["npu-smi"]
    assert found["status"] == "ok"
    assert found["figures"]["driver"] == "24.1.rc3.7"
    mib = 1 << 20
    # More in use than there is, is not known.
    assert found["figures"]["chips"] == [
        {"npu": 0, "chip": 0, "name": "910B3", "health": "OK", "used": 3318 * mib, "total": 65536 * mib},
        {"npu": 5, "chip": 0, "name": "910B4", "health": "OK", "used": None, "total": None},
    ]


def test_a_chip_that_is_not_healthy(here: Environment) -> None:
    here.package("torch", NO_TORCH)
    here.npu_smi(f"cat <<'END'\n{CARDS}END")
    told = here.doctor()
    found = told.checks["npu-smi"]
    assert found["status"] == "warning"
    assert "not healthy: 0.1 Alarm" in found["summary"]
    assert [chip["total"] for chip in found["figures"]["chips"]] == [65536 << 20, 13552 << 20]
    # There are NPUs, and no torch_npu to use them with.
    assert told.status("torch_npu") == "fail"
    assert "2 NPU" in told.checks["torch_npu"]["summary"]
    assert "pip install torch_npu" in told.checks["torch_npu"]["next"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo dcmi module initialize failed. ret is -8005; exit 255", "ended with 255 and said: dcmi module"),
        ("exit 1", "ended with 1 and said: nothing"),
        ("sleep 60", "did not end within 1 s"),
        ("sleep 60 & echo hello", "did not end within 1 s"),
        ("exec >&-; exec 2>&-; sleep 60", "did not end within 1 s"),
        ("yes '| 0 910B | OK | 1 / 1 |'", "printed more than 256 KiB"),
        ("head -c 5000 /dev/urandom", "no table of chips"),
        ("printf '\\033[31mred\\033[0m'", "no table of chips, but: \x1b[31mred"),
        ("true", "no table of chips, but: nothing"),
        ("echo '| npu-smi 1.0   Version: 1.0 |'", "lists no chip"),
        (f"echo '| {'9' * 4000} | OK | 1 |'; echo '| 0 | 0000:C1:00.0 | 1 / {'9' * 4000} |'", "no table of chips"),
    ],
)
def test_an_npu_smi_that_says_nothing_of_use(here: Environment, script: str, said: str) -> None:
    here.package("torch", NO_TORCH)
    here.npu_smi(script)
    started = time.monotonic()
    told = here.doctor("--timeout", 1)
    assert time.monotonic() - started < 20
    assert told.status("npu-smi") == "fail"
    assert said in told.checks["npu-smi"]["summary"]
    assert "run npu-smi info by hand" in told.checks["npu-smi"]["next"]
    assert not set(here.shown("--timeout", 1)) & set(map(chr, (*range(10), *range(11, 32), 127)))


def test_an_npu_smi_that_is_no_program(here: Environment) -> None:
    here.package("torch", NO_TORCH)
    here.npu_smi("")
    (here.folder / "bin" / "npu-smi").write_bytes(b"\x7fELF no program")
    found = here.doctor().checks["npu-smi"]
    assert found["status"] == "fail"
    assert "cannot be started" in found["summary"]


def test_what_npu_smi_has_started_does_not_stay(here: Environment, tmp_path: Path) -> None:
    here.package("torch", NO_TORCH)
    here.npu_smi(f"(sleep 3; touch {tmp_path}/late) & sleep 60")
    here.doctor("--timeout", 1)
    time.sleep(4)
    assert not (tmp_path / "late").exists()

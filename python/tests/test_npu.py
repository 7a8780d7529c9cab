"""Captures on an NPU: what the dump holds, what it costs, and that it is what the CPU's dump holds, to the bit."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import DynamicCache

from npu_dump import Dump, DumpFile, load
from npu_dump.cli import main

from .conftest import build

Chips = list[Any]
Ids = Callable[..., torch.Tensor]

# Each is captured on the CPU, in a process that has no NPU, and on the NPU. CPU stands for the folder of the former.
VARIANTS = {
    "plain": [],
    "bfloat16": ["--dtype", "bfloat16"],
    "float16 eager": ["--dtype", "float16", "--attn", "eager"],
    "padded right": ["--dtype", "bfloat16", "--batch", "3"],
    "padded left": ["--dtype", "bfloat16", "--batch", "3", "--padding-side", "left"],
    "padded eager": ["--batch", "2", "--attn", "eager"],
    "greedy": ["--dtype", "bfloat16", "--batch", "2", "--generate", "6"],
    "sampled": ["--generate", "6", "--temperature", "0.9", "--top-p", "0.9", "--seed", "3"],
    "selected": ["--select", "layers.*", "--limit", "1", "--mode", "hidden"],
    "decode": ["--dtype", "bfloat16", "--batch", "3", "--decode", "4"],
    # Not in the checkpoint's float32: a CPU's product with a single row depends on where in memory the weights begin.
    "decode forced": ["--dtype", "bfloat16", "--tokens-from", "CPU/decode.arrow", "--decode", "4", "--batch", "2"],
    "replay": ["CPU/plain.arrow", "--dtype", "float32"],
    "replay of steps": ["CPU/decode.arrow", "--dtype", "float16", "--batch", "3"],
}


@pytest.fixture(scope="session")
def prompt_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    path.write_text("The capital of France is\nthe sea\nParis, größer als 巴黎\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def cpu_dumps(tmp_path_factory: pytest.TempPathFactory, model_folder: Path, prompt_file: Path) -> Path:
    """A folder with the CPU's dump of every variant, made without an NPU in reach."""
    folder = tmp_path_factory.mktemp("cpu")
    runs = [command(name, model_folder, prompt_file, folder / f"{name}.arrow", folder) for name in VARIANTS]
    program = (
        "import json, sys; from npu_dump.cli import main\n"
        "codes = [main(arguments) for arguments in json.loads(sys.argv[1])]\n"
        "assert 'torch_npu' not in sys.modules\n"
        "sys.exit(max(codes))\n"
    )
    paths = os.environ["PYTHONPATH"].split(os.pathsep)
    without = os.pathsep.join(path for path in paths if not Path(path, "torch_npu").exists())
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(runs)],
        env={**os.environ, "PYTHONPATH": without},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def command(
    name: str, model: Path, prompts: Path, output: Path, cpu: Path | None = None, *, device: str = "cpu"
) -> list[str]:
    """The arguments of a variant."""
    verb = name.split()[0]
    options = [option.replace("CPU", str(cpu)) for option in VARIANTS[name]]
    if verb == "replay" or "--tokens-from" in options:
        source: list[str] = []
    else:
        source = ["--prompts", str(prompts)]
    return [
        "replay" if verb == "replay" else "run",
        *options,
        *source,
        *("--model", str(model), "--device", device, "-o", str(output)),
    ]


def contents(dump: DumpFile) -> dict[Any, tuple[str, list[int], bytes]]:
    """Type, shape and bytes of every tensor of a dump."""
    tensors = {key: torch.as_tensor(dump[key]) for key in dump}
    return {
        key: (str(tensor.dtype), list(tensor.shape), tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        for key, tensor in tensors.items()
    }


@pytest.mark.parametrize("name", VARIANTS)
def test_the_dump_is_that_of_the_cpu_to_the_bit(
    tmp_path: Path, chips: Chips, model_folder: Path, prompt_file: Path, cpu_dumps: Path, name: str
) -> None:
    path = tmp_path / "npu.arrow"
    assert main(command(name, model_folder, prompt_file, path, cpu_dumps, device="npu:0")) == 0
    assert len(chips[0].to_host) > 20  # it was computed there
    here, there = load(cpu_dumps / f"{name}.arrow"), load(path)
    assert there.run["device"]["type"] == "npu"
    assert here.run["device"]["type"] == "cpu"
    bits_there, bits_here = contents(there), contents(here)
    # Where the device has no float64, log-probabilities are sums in float32.
    sums = {key for key in bits_here if key[0] == "generated_topk_logprobs"}
    assert bits_there.keys() == bits_here.keys()
    assert {key: bits_there[key] for key in bits_there.keys() - sums} == {
        key: bits_here[key] for key in bits_here.keys() - sums
    }
    for key in sums:
        np.testing.assert_allclose(np.asarray(there[key]), np.asarray(here[key]), rtol=0, atol=4e-6)
    for key in ("model", "seed", "dtype", "capture", "engine"):
        assert there.run[key] == here.run[key]
    for key in there:
        # The same values, added up by other code: torch's for what comes from a device.
        stats, expected = there.stats(key) or {}, here.stats(key) or {}
        assert stats.keys() == expected.keys()
        allowed = 4e-6 if key in sums else 1e-12
        for figure, value in expected.items():
            assert stats[figure] == (value if value is None else pytest.approx(value, rel=1e-12, abs=allowed))


def test_flash_attention_of_torch_npu_is_used(
    tmp_path: Path, chips: Chips, model_folder: Path, prompt_file: Path, cpu_dumps: Path
) -> None:
    path = tmp_path / "npu.arrow"
    given = command("padded right", model_folder, prompt_file, path, device="npu:0")
    assert main([*given, "--attn", "flash_attention_2"]) == 0
    there, here = load(path), load(cpu_dumps / "bfloat16.arrow")
    assert there.run["engine"]["attention"] == "flash_attention_2"
    assert chips[0].to_host
    logits, expected = (torch.as_tensor(dump["logits", 1, 0]).double() for dump in (there, here))
    assert torch.norm(logits - expected) / torch.norm(expected) < 0.02


def test_provenance(
    tmp_path: Path, chips: Chips, model_folder: Path, prompt_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "cann"
    (home / "compiler").mkdir(parents=True)
    (home / "compiler" / "version.info").write_text("Version=8.5.1\nversion_dir=8.5\n")
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", str(home))
    monkeypatch.setenv("HCCL_DETERMINISTIC", "true")
    chips[1].capacity = 32 << 30
    monkeypatch.setattr(torch.npu.matmul, "allow_hf32", True)
    path = tmp_path / "npu.arrow"
    assert main(command("plain", model_folder, prompt_file, path, device="npu:1")) == 0
    dump = load(path)
    assert dump.run["device"] == {
        "type": "npu",
        "name": "Ascend910B2",
        "count": 2,
        "memory_bytes": 32 << 30,
        "soc": "222",
        "cann": "8.5.1",
    }
    numerics = {"allow_hf32": True, "allow_hf32_conv": True, "jit_compile": False, "hccl_deterministic": True}
    assert numerics.items() <= dump.run["numerics"].items()
    assert "allow_tf32" not in dump.run["numerics"]
    assert dump.run["versions"]["torch_npu"] == "0.0.0"
    assert dump.run["model"]["tie_word_embeddings"] is True
    assert dump.end["peak_memory_bytes"] == chips[1].peak
    assert chips[0].to_host == chips[0].to_device == []


def test_peak_memory_holds_the_weights_and_what_a_forward_needs(
    tmp_path: Path, chips: Chips, model_folder: Path, prompt_file: Path
) -> None:
    path, before = tmp_path / "npu.arrow", chips[0].allocated
    assert main(command("plain", model_folder, prompt_file, path, device="npu:0")) == 0
    from safetensors.torch import load_file

    weights = load_file(model_folder / "model.safetensors").values()
    least = sum(-(-weight.nbytes // 512) * 512 for weight in weights)
    logits = max(torch.as_tensor(load(path)["logits", sample, 0]).nbytes for sample in range(3))
    peak = load(path).end["peak_memory_bytes"] - before
    assert least + logits < peak < least + 20 * logits


@pytest.fixture
def model() -> nn.Module:
    return build("llama", torch.bfloat16).to("npu:0")


def test_each_tensor_goes_over_the_bus_once(tmp_path: Path, chips: Chips, model: Any, ids: Ids) -> None:
    """Beyond what the model itself does: one transfer a tensor and sample, of its own size, and one wait for each."""
    fed = ids(batch=3).to("npu:0")
    with torch.no_grad():
        chips[0].reset()
        model(fed)
        own, own_waits = Counter(chips[0].to_host), chips[0].waits
        with Dump(model, tmp_path / "a.arrow"):
            chips[0].reset()
            model(fed)
            found, waits = Counter(chips[0].to_host), chips[0].waits
    dump = load(tmp_path / "a.arrow")
    stored = Counter(torch.as_tensor(dump[key]).nbytes for key in dump)
    # Where layer 0 is told positions, they come along, to see that they are 0, 1, 2, ….
    stored[fed[:1].nbytes] += 1
    assert found - own == stored
    assert waits - own_waits == sum(stored.values())


def test_device_memory_beyond_the_model_is_a_copy_of_one_tensor(
    tmp_path: Path, chips: Chips, model: Any, ids: Ids
) -> None:
    fed = ids(batch=3, length=40).to("npu:0")
    with torch.no_grad():
        model(fed)
        torch.npu.reset_peak_memory_stats()
        model(fed)
        bare = chips[0].peak
        with Dump(model, tmp_path / "a.arrow"):
            torch.npu.reset_peak_memory_stats()
            model(fed)
            hooked = chips[0].peak
    dump = load(tmp_path / "a.arrow")
    largest = max(torch.as_tensor(dump[key]).nbytes for key in dump)
    assert hooked - bare <= largest + 512


def test_outputs_are_bit_identical_with_and_without_hooks(tmp_path: Path, chips: Chips, model: Any, ids: Ids) -> None:
    fed = ids().to("npu:0")
    bare = model(fed).logits
    with Dump(model, tmp_path / "a.arrow"):
        hooked = model(fed).logits
    assert hooked.device == torch.device("npu:0")
    assert torch.equal(bare, hooked)
    assert torch.equal(torch.as_tensor(load(tmp_path / "a.arrow")["logits", 1, 0]), bare[1].detach().cpu())
    assert chips[1].to_host == []


@pytest.mark.usefixtures("chips")
def test_decode_steps_and_padding_with_holes(tmp_path: Path, model: Any, ids: Ids) -> None:
    fed = ids(batch=2, length=6)
    mask = torch.tensor([[1, 1, 0, 1, 0, 1], [0, 0, 1, 1, 1, 1]])
    dumps = []
    for device, captured in (("npu:0", model), ("cpu", build("llama", torch.bfloat16))):
        path = tmp_path / f"{device[:3]}.arrow"
        with torch.no_grad(), Dump(captured, path):
            cache = DynamicCache(config=captured.config)
            captured(fed[:, :5].to(device), attention_mask=mask[:, :5].to(device), past_key_values=cache)
            captured(fed[:, 5:].to(device), attention_mask=mask.to(device), past_key_values=cache)
        dumps.append(contents(load(path)))
    there, here = dumps
    assert there == here
    assert there["logits", 0, 0][1] == [3, 300]
    assert there["logits", 1, 1][1] == [1, 300]


@pytest.mark.usefixtures("chips")
def test_any_module(tmp_path: Path) -> None:
    torch.manual_seed(0)
    here = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Conv1d(5, 3, 2))
    there, inputs = copy.deepcopy(here).to("npu:0"), torch.randn(2, 5, 4)
    for device, module in (("npu", there), ("cpu", here)):
        with torch.no_grad(), Dump(module, tmp_path / f"{device}.arrow") as dump:
            module(inputs.to(device))
            dump.write("mine", torch.arange(3, device=device))
    found, expected = load(tmp_path / "npu.arrow"), load(tmp_path / "cpu.arrow")
    assert contents(found) == contents(expected)
    assert found.run["device"]["type"] == "npu"
    assert np.array_equal(np.asarray(found["mine", 0, 0]), [0, 1, 2])


@pytest.mark.usefixtures("chips")
def test_training_mode_and_the_random_state_of_the_device_are_kept(tmp_path: Path, ids: Ids) -> None:
    model, fed = build("gpt2", resid_pdrop=0.3).to("npu:0").train(), ids().to("npu:0")
    torch.manual_seed(3)
    bare = model(fed).logits
    other = model(fed).logits
    assert not torch.equal(bare, other)
    torch.manual_seed(3)
    with Dump(model, tmp_path / "a.arrow"):
        assert torch.equal(model(fed).logits, bare)
    assert model.training


@pytest.mark.usefixtures("chips")
@pytest.mark.parametrize("name", ["gemma2", "mixtral", "gpt-neox", "qwen3-moe", "mamba"])
def test_other_architectures(tmp_path: Path, ids: Ids, name: str) -> None:
    model, fed = build(name), ids()
    paths = [tmp_path / "cpu.arrow", tmp_path / "npu.arrow"]
    for path, device in zip(paths, ("cpu", "npu:0"), strict=True):
        model = model.to(device)
        with torch.no_grad(), Dump(model, path):
            model(fed.to(device))
    here, there = map(load, paths)
    assert contents(there) == contents(here)
    assert there.run["model"] == here.run["model"]

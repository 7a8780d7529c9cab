"""`npu-dump vllm` on small models with random weights: what becomes of their ends, routers and deaths."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from npu_dump import DumpWriter, load

from .conftest import Run

DTYPE = ("--dtype", "bfloat16")


def saved(kind: str, folder: Path, tokenizer: Path, dtype: torch.dtype, **config: Any) -> Path:
    """A small model with random weights, whose heads two ranks can share, and the tokenizer of another."""
    import transformers

    torch.manual_seed(0)
    made = getattr(transformers, f"{kind}Config")(
        hidden_size=128,
        intermediate_size=256,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        tie_word_embeddings=False,
        **config,
    )
    getattr(transformers, f"{kind}ForCausalLM")(made).to(dtype).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(model: Path, work: Path) -> Path:
    """A Llama of three layers."""
    sizes = {"num_hidden_layers": 3, "vocab_size": 49152, "max_position_embeddings": 256}
    return saved("Llama", work / "tiny", model, torch.bfloat16, **sizes)


def test_an_engine_that_is_killed_leaves_what_was_complete(
    npu_dump: Run,
    npu_diff: Run,
    tiny: Path,
    prompts: Path,
    faulty: Callable[[str], dict[str, str]],
    work: Path,
) -> None:
    path = work / "killed.arrow"
    # The probe is a forward too, and warm-ups may be; some of the eight prompts are through before the kill.
    ran = npu_dump("vllm", "--model", tiny, *DTYPE, "--prompts", prompts, "-o", path, env=faulty("die-after@6"))
    assert ran.code == 2
    assert re.search(r"^error\[engine-died\]: ", ran.err, re.MULTILINE), ran.err
    assert not path.exists()
    whole = work / "repaired.arrow"
    repaired = npu_diff("repair", path.with_name("killed.arrow.partial"), whole)
    assert repaired.code == 0, repaired.err
    dump = load(whole)
    print(f"{len(dump.samples())} of 8 samples were complete")
    assert 1 <= len(dump.samples()) < 8
    assert all(("logits", sample, 0) in dump for sample in dump.samples())


@pytest.mark.long
def test_the_engines_own_tokens_are_fed_to_the_end_as_by_transformers(
    npu_dump: Run, tiny: Path, prompts: Path, work: Path
) -> None:
    free, theirs, ours = (work / f"ending-{name}.arrow" for name in ("free", "reference", "engine"))
    given = ("--dtype", "float32", "--prompts", prompts, "--select", "logits", "--mode", "topk")
    assert npu_dump("run", "--model", tiny, *given, "--generate", 4, "-o", free).code == 0
    folder = work / "ending"
    shutil.copytree(tiny, folder)
    # A token that one prompt goes on with, so that it ends there.
    end = int(load(free)["generated_ids", 0, 0][1])
    settings = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    (folder / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": [end]}), encoding="utf-8")
    for command, path in (("run", theirs), ("vllm", ours)):
        ran = npu_dump(command, "--model", folder, *given, "--batch", 3, "--decode", 4, "-o", path)
        assert ran.code == 0, ran.err
    expected, found = load(theirs), load(ours)
    fed = {key: expected[key].tolist() for key in expected if key[0] == "input_ids"}
    assert fed["input_ids", 0, 2] == [end]
    assert ("input_ids", 0, 3) not in fed
    assert fed["input_ids", 1, 4]
    assert {key: found[key].tolist() for key in found if key[0] == "input_ids"} == fed


@pytest.fixture(scope="module")
def experts(model: Path, work: Path) -> Path:
    """A mixture of experts of two layers, in float32, with few tokens and positions."""
    sizes = {"num_hidden_layers": 2, "vocab_size": 48, "max_position_embeddings": 64}
    routing = {"num_local_experts": 4, "num_experts_per_tok": 2}
    return saved("Mixtral", work / "experts", model, torch.float32, **sizes, **routing)


@pytest.mark.long
def test_routers_prompts_of_all_lengths_and_the_checkpoints_precision(
    npu_dump: Run, experts: Path, work: Path
) -> None:
    ids, reference, engine = (work / f"experts-{name}.arrow" for name in ("ids", "reference", "engine"))
    generator = np.random.default_rng(0)
    with DumpWriter(ids, run={"dtype": "F32"}) as writer:
        # The last position of all is decoded too.
        for sample, length in enumerate((1, 7, 62)):
            writer.write("input_ids", generator.integers(3, 48, length), sample=sample)
            writer.write("generated_ids", generator.integers(3, 48, 2), sample=sample)
    fed = ("--model", experts, "--decode", 2)
    assert npu_dump("run", *fed, "--tokens-from", ids, "--dtype", "float64", "-o", reference).code == 0
    # A seed and a number of likely tokens that are larger than what engines take.
    large = ("--seed", 2**40, "--top-k", 64)
    ran = npu_dump("vllm", *fed, "--tokens-from", reference, *large, "--batch", 3, "--generate", 2, "-o", engine)
    assert ran.code == 0, ran.err
    theirs, ours = load(reference), load(engine)
    assert ours.run["dtype"] == "F32"
    told = ("token_logprob", "generated_ids", "generated_text", "generated_token_text", "generated_topk_ids")
    assert set(theirs) == {key for key in ours if key[0] not in (*told, "generated_topk_logprobs")}
    assert ours["generated_topk_ids", 0, 0].shape == (2, 48)
    assert {f"layers.{layer}.router" for layer in range(2)} <= {name for name, _, _ in ours}
    for key in theirs:
        if key[0] in ("input_ids", "position_ids", "token_text"):
            continue
        expected, found = (torch.as_tensor(np.array(dump[key])).double() for dump in (theirs, ours))
        assert torch.linalg.norm(found - expected) <= 1e-4 * torch.linalg.norm(expected), key

"""Checkpoints that are more than a model's own weights, and models that are spread over devices and the disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from npu_dump import DumpFile

from .architectures.mxfp4 import quantize_checkpoint
from .conftest import ARCHITECTURES, build, differing, save_tokenizer
from .test_architectures import capture
from .test_architectures_cli import run

Ids = Callable[..., torch.Tensor]
OLD = transformers.__version__.startswith("4.")
SPLITS = {
    "all on the disk": {"model": "disk", "lm_head": "disk"},
    "layers on the disk": {
        "model.embed_tokens": "cpu",
        "model.layers.0": "cpu",
        "model.layers.1": "disk",
        "model.layers.2": "disk",
        "model.norm": "disk",
        "model.rotary_emb": "cpu",
        "lm_head": "cpu",
    },
    "head on the disk": {"model": "cpu", "lm_head": "disk"},
}
# And whether the head is the embedding. Older versions cannot run a model whose one weight for both is put aside.
CASES = [("all on the disk", False), ("layers on the disk", True), ("head on the disk", False)]
CASES += [] if OLD else [("all on the disk", True)]


def saved(folder: Path, name: str, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    save_tokenizer(folder)
    model = build(name, dtype, **changes)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(("split", "tied"), CASES)
def test_a_spread_model_gives_what_a_whole_one_gives(tmp_path: Path, ids: Ids, split: str, tied: bool) -> None:
    saved(tmp_path, "llama", tie_word_embeddings=tied)

    def dump(name: str, device_map: dict[str, str]) -> DumpFile:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            tmp_path, device_map=device_map, offload_folder=str(tmp_path / f"{name}.weights")
        )
        aside = any(parameter.device.type == "meta" for parameter in model.parameters())
        assert aside == ("disk" in device_map.values())
        return capture(tmp_path / f"{name}.arrow", model.eval(), ids(2, 9), ids(1, 4))

    whole, spread = dump("whole", {"": "cpu"}), dump("spread", SPLITS[split])
    assert differing(whole, spread) == set()
    for facts in ("model", "device", "dtype", "engine"):
        assert spread.run[facts] == whole.run[facts]


if "gpt-oss" in ARCHITECTURES:

    def test_an_mxfp4_checkpoint_is_captured_as_what_it_stands_for(
        tmp_path: Path, record_property: Callable[[str, object], None]
    ) -> None:
        record_property("architecture", "gpt-oss")
        folder, exact_folder = tmp_path / "model", tmp_path / "exact_model"
        saved(folder, "gpt-oss", torch.bfloat16, intermediate_size=32)
        exact_model = saved(exact_folder, "gpt-oss", torch.bfloat16, intermediate_size=32)
        exact = quantize_checkpoint(folder)
        assert len(exact) == 6
        with torch.no_grad():
            for path, values in exact.items():
                parameter = exact_model.get_parameter(path)
                assert not np.array_equal(parameter.double().numpy(), values)
                parameter.copy_(torch.from_numpy(values))
                # E2M1 times a power of two is exact in bfloat16.
                assert np.array_equal(parameter.double().numpy(), values)
        exact_model.save_pretrained(exact_folder)
        found, expected = run(folder, "mxfp4"), run(exact_folder, "exact")
        assert differing(found, expected) == set()
        assert (found.run["dtype"], found.run["model"]["residual"]) == ("BF16", "sequential")


if "qwen3.5-conditional" in ARCHITECTURES:

    def test_a_head_for_several_tokens_is_left_out(
        tmp_path: Path, record_property: Callable[[str, object], None]
    ) -> None:
        record_property("architecture", "qwen3.5-conditional")
        folder = tmp_path / "model"
        saved(folder, "qwen3.5-conditional")
        plain = run(folder, "plain")
        weights = load_file(folder / "model.safetensors")
        weights |= {"mtp.fc.weight": torch.randn(32, 64), "mtp.layers.0.mlp.down_proj.weight": torch.randn(32, 48)}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        with_head = run(folder, "with")
        assert differing(with_head, plain) == set()
        assert with_head.run["model"]["weights_sha256"] != plain.run["model"]["weights_sha256"]

"""What a dump's metadata say of the constants by which two set-ups of one model differ."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from npu_dump import Dump, load

from .architectures import Architecture, build
from .command import run


def model_facts(model: Any, path: Path) -> dict[str, Any]:
    with Dump(model, path, select="embed"), torch.no_grad():
        model(input_ids=torch.tensor([[1, 2, 3]]))
    return load(path).run["model"]


def test_rotary_settings_have_one_form_in_every_version(tmp_path: Path) -> None:
    scaling = {"rope_type": "linear", "factor": 4.0}
    facts = model_facts(build(rope_theta=5000.0, rope_scaling=scaling), tmp_path / "a.arrow")
    assert facts["rope_theta"] == 5000.0
    assert facts["rope_parameters"].items() >= {"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0}.items()
    plain = model_facts(build(), tmp_path / "b.arrow")["rope_parameters"]
    assert plain.items() >= {"rope_type": "default", "rope_theta": 10000.0}.items()


def test_rotary_settings_of_every_architecture(tmp_path: Path, architecture: Architecture) -> None:
    facts = model_facts(architecture.model(), tmp_path / "a.arrow")
    rope = facts.get("rope_parameters", {})
    by_type = {kind: settings for kind, settings in rope.items() if isinstance(settings, dict)}
    for settings in by_type.values() if by_type else [rope] if rope else []:
        assert settings.keys() >= {"rope_type", "rope_theta"}
        assert "type" not in settings
    bases = {kind: settings["rope_theta"] for kind, settings in by_type.items()}
    differ = architecture.kind in ("gemma3", "gemma3_text")
    assert bases == ({"full_attention": 1000000.0, "sliding_attention": 10000.0} if differ else {})
    assert facts.get("rope_theta") == bases.get("full_attention", rope.get("rope_theta"))


def test_what_a_model_does_without_is_said(tmp_path: Path) -> None:
    facts = model_facts(build("gemma2", attn_logit_softcapping=None), tmp_path / "a.arrow")
    assert facts["attn_logit_softcapping"] is None
    assert facts["final_logit_softcapping"] == 3.0
    assert facts["quantization_config"] is None
    assert "logit_scale" not in facts


def test_the_quantisation_is_said(tmp_path: Path) -> None:
    model = build()
    model.config.quantization_config = {"quant_method": "gptq", "bits": 4}
    assert model_facts(model, tmp_path / "a.arrow")["quantization_config"] == {"quant_method": "gptq", "bits": 4}


def test_an_infinite_constant_is_a_word(tmp_path: Path) -> None:
    model = build()
    model.config.time_step_limit = (0.0, float("inf"))
    assert model_facts(model, tmp_path / "a.arrow")["time_step_limit"] == [0.0, "Infinity"]


def test_a_constant_that_is_no_json_is_left_out(tmp_path: Path) -> None:
    model = build()
    model.config.mlp_multipliers = object()
    assert "mlp_multipliers" not in model_facts(model, tmp_path / "a.arrow")


def test_tokenizer_and_stored_precision(tmp_path: Path, model_folder: Path, prompts: Path) -> None:
    arguments = ("--model", model_folder, "--prompts", prompts, "--limit", 1)
    assert run(*arguments, "--dtype", "bfloat16", "-o", tmp_path / "a.arrow") == 0
    facts = load(tmp_path / "a.arrow").run["model"]
    tokenizer = model_folder / "tokenizer.json"
    assert facts["tokenizer_sha256"] == hashlib.sha256(tokenizer.read_bytes()).hexdigest()
    declared = json.loads((model_folder / "tokenizer_config.json").read_text(encoding="utf-8"))["tokenizer_class"]
    assert facts["tokenizer_class"].removesuffix("Fast") == declared.removesuffix("Fast")
    # As the file has them, not as they were loaded.
    assert facts["weights_dtype"] == ["F32"]

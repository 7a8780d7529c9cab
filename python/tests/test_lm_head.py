"""The analyzer's head makes the logits that the model makes, whatever the architecture does with them.

It refuses weights that do not give the logits which the reference stores, and takes the final norm only where it
gives the reference's own: an architecture that it takes wrongly fails here.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from npu_dump.cli import main

from .architectures import ARCHITECTURES, Architecture
from .architectures.catalogue import COMMON
from .conftest import save_tokenizer

MAIN = Path(__file__).parents[2] / "dist" / "cli" / "main.js"
COHERE = Architecture("cohere", {**COMMON, "logit_scale": 0.25})

# What the architecture does, the norm that must be found, and changes to its configuration.
CASES: dict[str, tuple[Architecture, str, Mapping[str, Any]]] = {
    "an embedding that is the head": (ARCHITECTURES["llama-tied"], "rms", {}),
    "a cap, and 1 + w": (ARCHITECTURES["gemma2"], "rms-offset", {"final_logit_softcapping": 0.5}),
    "a LayerNorm with 1 + w": (ARCHITECTURES["nemotron"], "layer-offset", {}),
    "a LayerNorm whose epsilon nothing tells": (ARCHITECTURES["opt"], "layer", {}),
    "a head with a bias": (ARCHITECTURES["phi"], "layer", {}),
    "a LayerNorm without a bias, and a factor": (COHERE, "layer", {}),
    "a divisor": (ARCHITECTURES["granite"], "rms", {"logits_scaling": 8.0}),
    "a divisor in front of the head": (ARCHITECTURES["minicpm"], "rms", {}),
    "an embedding by another name": (ARCHITECTURES["mamba"], "rms", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_head_is_that_of_the_architecture(case: str, tmp_path: Path) -> None:
    architecture, norm, changes = CASES[case]
    if not architecture.present:
        pytest.skip(f"this transformers has no {architecture.kind}")
    folder, prompts, dump = tmp_path / "model", tmp_path / "prompts.txt", tmp_path / "dump.arrow"
    save_tokenizer(folder)
    architecture.model(**changes).save_pretrained(folder)
    prompts.write_text("the capital of France is Paris\nthe sea", encoding="utf-8")
    arguments = ["--model", folder, "--prompts", prompts, "-o", dump, "--trust-remote-code"]
    assert main(["run", *map(str, arguments)]) == 0
    command = ["node", str(MAIN), "compare", str(dump), str(dump), "--lm-head", str(folder), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.stdout, ran.stderr
    lens = json.loads(ran.stdout)["lens"]
    assert (lens["notAvailable"], lens["norm"]["kind"]) == (None, norm)
    assert lens["norm"]["error"] < 2e-7

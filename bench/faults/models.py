"""The models of the benchmark: SmolLM2, and tiny ones of other architectures, trained here with a fixed seed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from .configurations import TINY
from .texts import training_text

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "faults" / "models"
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32, "fp64": torch.float64}
# What a candidate of a precision is held against.
REFERENCE = {"bf16": "fp32", "fp16": "fp32", "fp32": "fp64"}
Half = Literal["calibrate", "report", "both", "small"]


@dataclass(frozen=True)
class ModelSpec:
    """A model of the benchmark.

    Attributes:
        name: its name in ids of cases.
        half: which half of the benchmark it belongs to; ``small``: to neither, the tests use it.
        folder: of a trained model, in transformers' layout; None: a tiny one, which is trained here.
        large: whether a forward is costly, so that it is fed short texts alone.
    """

    name: str
    half: Half
    folder: Path | None = None
    large: bool = False

    def make(self, dtype: str, attention: str | None = None, *, checkpoint: str = "bf16") -> Any:
        """Load the model; a tiny one is trained first where that was not done yet.

        Args:
            dtype: precision of the weights, a key of `DTYPES`.
            attention: its attention in the words of transformers; None: the first of `attentions`.
            checkpoint: precision that the weights are rounded to first, as a published checkpoint is; the
                candidate's, so that both sides have the very same weights.
        """
        if self.folder is not None:
            model = AutoModelForCausalLM.from_pretrained(
                self.folder, dtype=torch.float32, attn_implementation=attention, local_files_only=True
            )
        else:
            model = self.skeleton(attention)
            model.load_state_dict(_trained(self.name), strict=False)
            model.tie_weights()
        # Parameters alone: the frequencies of rotary embeddings stay in float32, as transformers loads them.
        for parameter in model.parameters():
            parameter.requires_grad_(False)
            parameter.data = parameter.data.to(DTYPES[checkpoint]).to(DTYPES[dtype])
        model.config.dtype = DTYPES[dtype]
        if dtype == "fp64" and getattr(model.config, "_experts_implementation", None) is not None:
            # Products in groups do not know float64.
            model.set_experts_implementation("eager")
        return model.eval()

    def skeleton(self, attention: str | None = None, device: str = "cpu") -> Any:
        """Return the model without its trained weights, on ``meta`` without any: enough to look for places."""
        tiny = TINY.get(self.name)
        config = AutoConfig.for_model(tiny.kind, **tiny.config) if tiny else AutoConfig.from_pretrained(self.folder)
        with torch.random.fork_rng(devices=[]), torch.device(device):
            torch.manual_seed(0)
            return AutoModelForCausalLM.from_config(
                config, dtype=torch.float32, attn_implementation=attention or self.attentions[0]
            ).eval()

    @property
    def attentions(self) -> tuple[str, ...]:
        """The attentions of transformers that give its floors."""
        # Sinks and soft caps are not in scaled_dot_product_attention: transformers refuses it for these models.
        return ("eager",) if self.name in ("gpt-oss", "gemma2") else ("sdpa", "eager")

    def ids(self, text: str) -> list[int]:
        """Return the token ids of a text; of a tiny model its bytes."""
        if self.folder is None:
            return list(text.encode())
        return AutoTokenizer.from_pretrained(self.folder)(text)["input_ids"]


MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec("smollm2", "both", ROOT / ".cache" / "SmolLM2-135M-Instruct", large=True),
        ModelSpec("fixture", "small", ROOT / "fixtures" / "tiny-llama"),
        *(ModelSpec(name, tiny.half) for name, tiny in TINY.items()),
    )
}


def untrained(specs: Iterable[ModelSpec]) -> list[str]:
    """Return the names of those that must be trained, each once."""
    names = dict.fromkeys(spec.name for spec in specs if spec.folder is None)
    return [name for name in names if not _weights(name).exists()]


def train(name: str) -> None:
    """Train a tiny model and keep its weights."""
    torch.set_num_threads(1)
    path = _weights(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whole or not at all, also where another run trains the same one.
    partial = path.with_suffix(f".{os.getpid()}")
    save_file(_train(name), partial)
    partial.replace(path)


def _trained(name: str) -> dict[str, torch.Tensor]:
    if not _weights(name).exists():
        train(name)
    return load_file(_weights(name))


def _weights(name: str) -> Path:
    """Return the file of a model's weights, which is another for another training."""
    tiny = TINY[name]
    recipe = [tiny.kind, tiny.config, tiny.steps, BATCH, WINDOW, RATE, torch.__version__, training_text()]
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    return CACHE / f"{name}-{digest[:12]}.safetensors"


BATCH, WINDOW, RATE = 16, 128, 3e-3


def _train(name: str) -> dict[str, torch.Tensor]:
    """Train a tiny model to foretell bytes, so that its attention is not flat and its logits mean something."""
    stream = torch.tensor(list(training_text().encode()))
    generator = torch.Generator().manual_seed(1)
    spec, steps = MODELS[name], TINY[name].steps
    model = spec.skeleton("eager")
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    model.train()
    for _ in range(steps):
        starts = torch.randint(0, len(stream) - WINDOW, (BATCH,), generator=generator).tolist()
        ids = torch.stack([stream[start : start + WINDOW] for start in starts])
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    stored = model.state_dict()
    if model.config.tie_word_embeddings:
        # The head is the embedding's weight.
        del stored["lm_head.weight"]
    return {name: value.detach().contiguous() for name, value in stored.items()}

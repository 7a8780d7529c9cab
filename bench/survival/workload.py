"""What is disturbed: a small model that is captured over padded batches, decode steps and texts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from npu_dump import Dump, Limits

VOCABULARY = 300
ROUNDS = 6
STEPS = 3
# Small, so that a capture of a moment has dozens of record batches and its queue is full now and then.
LIMITS = Limits(chunk=8192, batch=16384, gather=12288, buffer=16384)


def build() -> Any:
    """A Llama of three layers with random weights."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "llama",
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=VOCABULARY,
        max_position_embeddings=64,
    )
    return AutoModelForCausalLM.from_config(config).eval()


@dataclass
class Workload:
    """One capture that always stores the same."""

    model: Any = field(default_factory=build)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self._ids = torch.randint(5, VOCABULARY, (ROUNDS, 3, 12), generator=generator)
        self._mask = (torch.arange(12) < torch.tensor([12, 7, 9])[:, None]).long()
        self._expected = self.outputs()
        self._weights = {name: value.clone() for name, value in self.model.state_dict().items()}

    @torch.no_grad()
    def outputs(self) -> torch.Tensor:
        """Logits of a forward that nobody watches."""
        return self.model(self._ids[0], attention_mask=self._mask).logits

    @torch.no_grad()
    def capture(self, path: Path, *, overwrite: bool = False, closing: Callable[[], object] = lambda: None) -> None:
        """Capture it all into ``path``; ``closing`` is called where the block ends."""
        with Dump(self.model, path, overwrite=overwrite, limits=LIMITS) as dump:
            for ids in self._ids:
                dump.write_text("prompt", " ".join(map(str, ids[0].tolist())), sample=dump.samples)
                self.model(ids, attention_mask=self._mask, use_cache=False)
                cache = self.model(ids[:1], use_cache=True).past_key_values
                for step in range(STEPS):
                    cache = self.model(ids[1:2, step : step + 1], past_key_values=cache).past_key_values
            closing()

    def faults(self) -> list[str]:
        """What a capture that has ended, however, has left in this process."""
        found = [
            f"hook of {path or 'the model'}"
            for path, module in self.model.named_modules()
            if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
        ]
        found += [f"thread {thread.name}" for thread in threading.enumerate() if "npu-dump" in thread.name]
        # The descriptor that lists the others is gone when they are looked at.
        links = [link for link in list(Path("/proc/self/fd").iterdir()) if link.is_symlink()]
        found += [f"open file {link.readlink()}" for link in links if ".arrow" in str(link.readlink())]
        if not torch.equal(self.outputs(), self._expected):
            found.append("other outputs")
        if not all(torch.equal(value, self._weights[name]) for name, value in self.model.state_dict().items()):
            found.append("other weights")
        return found

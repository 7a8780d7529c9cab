"""What the command was asked for, and which points that makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .points import Point, points_of


@dataclass(frozen=True)
class BenchRequest:
    """What the command was asked for; the fields are its options."""

    output: Path
    model: str | None = None
    url: str | None = None
    engine: str | None = None
    device: str | None = None
    dtype: str | None = None
    attn: str | None = None
    threads: int | None = None
    trust_remote_code: bool = False
    allow_download: bool = False
    input_tokens: int | None = None
    output_tokens: int = 128
    requests: int = 20
    batch: int | None = None
    concurrency: int | None = None
    warmup: int = 2
    prompts: Path | None = None
    tokens_from: Path | None = None
    chat: bool = False
    sweep_batch: tuple[int, ...] = ()
    sweep_output: tuple[int, ...] = ()
    iterations: int = 3
    seed: int = 0
    tensor_parallel: int | None = None
    graph: bool = False
    engine_arg: tuple[tuple[str, Any], ...] = ()
    tokenizer: str | None = None
    timeout: float | None = None
    api_key_env: str | None = None
    force: bool = False

    @property
    def gives_prompts(self) -> bool:
        """Whether prompts are given, instead of random ones."""
        return self.prompts is not None or self.tokens_from is not None

    @property
    def random_tokens(self) -> int:
        """Tokens of a random prompt."""
        return self.input_tokens or 128

    def points(self) -> list[Point]:
        """Return what is measured, the main point first; of batches there are whole ones alone."""
        if self.url is not None:
            main = Point(self.concurrency or 1, self.output_tokens, iterations=1, asked=self.requests)
        else:
            batch = self.batch or 1
            main = Point(batch, self.output_tokens, iterations=-(-self.requests // batch), asked=batch)
        return list(
            points_of(main, sweep_batch=self.sweep_batch, sweep_output=self.sweep_output, iterations=self.iterations)
        )

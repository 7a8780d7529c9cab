"""The texts of the benchmark. No text of one half is in the other, nor in what the tiny models were trained on."""

from __future__ import annotations

import json
import pydoc_data.topics
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from npu_dump.tokens import Sample

# Other words take other passages of a half's texts.
DRAWS = {"calibrate": "", "report": " 2"}
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Text:
    """A set of samples.

    Attributes:
        name: its name in ids of cases.
        half: which half of the benchmark it belongs to.
        lengths: tokens of each sample's prompt.
        steps: decode steps of one token after each prompt, forced on every side.
    """

    name: str
    half: Literal["calibrate", "report"]
    lengths: tuple[int, ...]
    steps: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of all samples, decode steps included."""
        return sum(self.lengths) + len(self.lengths) * self.steps

    @property
    def even(self) -> bool:
        """Whether all prompts have one length."""
        return len(set(self.lengths)) == 1

    def samples(self, ids: Callable[[str], list[int]]) -> list[Sample]:
        """Return windows of this half's texts, at places chosen by the text's name and by `DRAWS`.

        Args:
            ids: the tokenizer.
        """
        chosen = random.Random(self.name + DRAWS[self.half])  # noqa: S311 - no secret
        stream = ids(_stream(self.half))
        return [_sample(stream, chosen, length, self.steps) for length in self.lengths]


def _sample(stream: list[int], chosen: random.Random, length: int, steps: int) -> Sample:
    start = chosen.randrange(len(stream) - length - steps)
    prompt, rest = stream[start : start + length], stream[start + length : start + length + steps]
    return Sample(tuple(prompt)).continued_by(([token], None) for token in rest)


MIXED = (16, 24, 33, 40, 47, 52, 64, 20)
TEXTS: dict[str, Text] = {
    text.name: text
    for text in (
        Text("c-even", "calibrate", (36,) * 6),
        Text("c-mixed", "calibrate", MIXED),
        Text("c-fifty", "calibrate", (50,)),
        Text("c-two", "calibrate", (150, 150)),
        Text("c-long", "calibrate", (500, 300, 200)),
        Text("c-longest", "calibrate", (1500,)),
        Text("c-decode", "calibrate", (24,) * 6, steps=12),
        Text("r-even", "report", (35,) * 6),
        Text("r-mixed", "report", tuple(reversed(MIXED))),
        Text("r-fifty", "report", (52,)),
        Text("r-two", "report", (130, 170)),
        Text("r-long", "report", (400, 250, 350)),
        Text("r-longest", "report", (2000,)),
        Text("r-decode", "report", (20,) * 7, steps=10),
    )
}


@cache
def _topics() -> list[str]:
    topics = sorted(pydoc_data.topics.topics.items(), key=lambda item: item[0])
    return [text for _, text in topics if len(text) > 1500]


@cache
def _stream(half: str) -> str:
    """Return all text of a half: Python's help, or the demo's passages, the fixtures' texts and the licence."""
    if half == "calibrate":
        return "\n".join(_topics()[::2])
    passages = (ROOT / "demo" / "passages.jsonl").read_text(encoding="utf-8").splitlines()
    fixtures = sorted((ROOT / "fixtures" / "text").glob("*.txt"))
    others = [path.read_text(encoding="utf-8") for path in [*fixtures, ROOT / "LICENSE"]]
    return "\n".join([*(json.loads(line)["prompt"] for line in passages), *others])


@cache
def training_text() -> str:
    """Return what the tiny models are trained on."""
    return "\n".join(_topics()[1::2])

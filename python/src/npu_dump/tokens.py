"""The token ids of samples: a prompt, what follows it step by step, and both as a dump holds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .errors import DumpError
from .reader import DumpFile


@dataclass(frozen=True)
class Tokens:
    """What one forward is fed of one sample.

    Attributes:
        ids: token ids; none for a sample that has ended.
        positions: position of each.
        natural: the positions count on from where the sample stands.
    """

    ids: tuple[int, ...]
    positions: tuple[int, ...]
    natural: bool = True


@dataclass(frozen=True)
class Sample:
    """One prompt as token ids, and what follows it.

    Attributes:
        ids: token ids, at least one.
        prompt: its text; None where it is not known.
        tokens: JSON array of the text of each token; None where it is not known.
        positions: position ids where they are not 0…T-1.
        expect: keywords that a good continuation contains.
        steps: tokens of each decode step.
    """

    ids: tuple[int, ...]
    prompt: str | None = None
    tokens: str | None = None
    positions: tuple[int, ...] | None = None
    expect: tuple[str, ...] = ()
    steps: tuple[Tokens, ...] = ()

    @property
    def prefill(self) -> Tokens:
        """What the first forward is fed."""
        counted = tuple(range(len(self.ids)))
        positions = self.positions or counted
        return Tokens(self.ids, positions, natural=positions == counted)

    def continued_by(self, steps: Iterable[tuple[Sequence[int], Sequence[int] | None]]) -> Sample:
        """Return the sample with these decode steps: token ids, and positions where they are known."""
        calls: list[Tokens] = []
        following = self.prefill.positions[-1] + 1
        for ids, stored in steps:
            counted = range(following, following + len(ids))
            positions = counted if stored is None else stored
            calls.append(Tokens(tuple(ids), tuple(positions), natural=tuple(positions) == tuple(counted)))
            following = calls[-1].positions[-1] + 1
        return replace(self, steps=tuple(calls))

    @property
    def natural(self) -> bool:
        """Whether its tokens are at 0, 1, 2, …."""
        return self.prefill.natural and all(step.natural for step in self.steps)

    @property
    def length(self) -> int:
        """Tokens of the prompt and of all decode steps."""
        return len(self.ids) + sum(len(step.ids) for step in self.steps)


def samples_of_dump(path: Path, *, steps: int | None) -> list[Sample]:
    """Return the samples of a dump, in order.

    Args:
        path: the dump.
        steps: how many decode steps to take: those that it has, and as far as its ``generated_ids`` go on from them,
            steps of one token each; None: its decode steps as they are.

    Raises:
        DumpError: the dump does not hold the ids, or they are no lists of whole numbers.
    """
    dump = DumpFile(path)
    expect = dump.run.get("expect")
    last: Counter[int] = Counter()
    for name, number, step in dump:
        if name == "input_ids":
            last[number] = max(last[number], step)
    samples: list[Sample] = []
    for number in dump.samples():
        if number != len(samples) or ("input_ids", number, 0) not in dump:
            raise _missing(path, f"input_ids of sample {min(number, len(samples))}")
        keywords = expect.get(str(number)) if isinstance(expect, dict) else None
        sample = Sample(
            _integers(dump, "input_ids", number, 0) or (),
            dump.text("prompt", number),
            dump.text("token_text", number),
            _positions(dump, number, 0),
            tuple(map(str, keywords)) if isinstance(keywords, list) else (),
        )
        if steps != 0 and sample.ids:
            sample = sample.continued_by(_steps(dump, number, steps, last[number]))
        samples.append(sample)
    if not samples:
        raise DumpError(
            "tokens-missing",
            "the dump holds no sample",
            facts=[("file", path.name)],
            help="give a dump with input_ids",
        )
    return samples


def _steps(
    dump: DumpFile, sample: int, count: int | None, last: int
) -> list[tuple[tuple[int, ...], tuple[int, ...] | None]]:
    recorded = [
        (_integers(dump, "input_ids", sample, step) or (), _positions(dump, sample, step))
        for step in range(1, dump.steps(sample) + 1)
    ]
    if any(not ids for ids, _ in recorded):
        raise _missing(dump.path, f"tokens of a decode step of sample {sample}")
    if last > len(recorded):
        raise _missing(dump.path, f"tokens of step {len(recorded) + 1} of sample {sample}, while it has step {last}")
    if count is None or len(recorded) >= count:
        return recorded[:count]
    generated = _integers(dump, "generated_ids", sample, 0)
    if generated is None and not recorded:
        raise _missing(dump.path, f"generated_ids of sample {sample}", "capture the reference with --decode")
    fed = tuple(token for ids, _ in recorded for token in ids)
    # Steps that were forced on a model go on with what it was fed, not with what it would have said itself.
    following = generated[len(fed) :] if generated is not None and generated[: len(fed)] == fed else ()
    # Fewer than were asked for: the reference came to its end.
    return recorded + [((token,), None) for token in following[: count - len(recorded)]]


def _positions(dump: DumpFile, sample: int, step: int) -> tuple[int, ...] | None:
    positions = _integers(dump, "position_ids", sample, step)
    fed = dump.get(("input_ids", sample, step))
    if positions is not None and fed is not None and len(positions) != len(fed):
        raise _invalid(dump.path, "position_ids", sample, f"{len(positions)} for {len(fed)} tokens")
    return positions


def _integers(dump: DumpFile, name: str, sample: int, step: int) -> tuple[int, ...] | None:
    value: Any = dump.get((name, sample, step))
    if value is None:
        return None
    if value.ndim != 1 or getattr(value.dtype, "kind", "") not in ("i", "u"):
        raise _invalid(dump.path, name, sample, f"{list(value.shape)} {value.dtype}")
    return tuple(map(int, value))


def _missing(path: Path, what: str, way_out: str | None = None) -> DumpError:
    return DumpError(
        "tokens-missing",
        "the dump does not hold the token ids of every sample",
        facts=[("file", path.name), ("missing", what)],
        help=way_out or "give a dump of a language model that npu-dump has captured",
    )


def _invalid(path: Path, name: str, sample: int, found: str) -> DumpError:
    return DumpError(
        "tokens-invalid",
        f"{name} is no list of one number a token",
        facts=[("file", path.name), ("sample", sample), ("found", found)],
        help="give a dump that npu-dump has captured",
    )

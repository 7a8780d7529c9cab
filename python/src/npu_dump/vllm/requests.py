"""Which sample and step the rows of a request are of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import DumpError
from ..samples import Row
from .adapter import Segment


@dataclass(frozen=True)
class _Request:
    sample: int
    prompt: int
    steps: int


class Requests:
    """The requests of an engine that are samples of a dump; those of others, and dummies, are passed over.

    Attributes:
        samples: how many samples have come, by their highest number.
        fed: tokens that each sample was fed.
    """

    def __init__(self) -> None:
        self.samples = 0
        self.fed: dict[int, int] = {}
        self._whole: dict[int, int] = {}
        self._requests: dict[str, _Request] = {}

    def add(self, new: list[tuple[str, dict[str, Any]]]) -> None:
        """Note new requests: what each says is ``sample``, ``prompt`` (tokens) and ``steps`` (to be captured)."""
        for identity, told in new:
            if told:
                request = _Request(int(told["sample"]), int(told["prompt"]), int(told["steps"]))
                self._requests[identity] = request
                self.samples = max(self.samples, request.sample + 1)
                self.fed[request.sample] = 0
                self._whole[request.sample] = request.prompt + request.steps

    def goes_on(self, sample: int) -> bool:
        """Return whether a sample has tokens left that are to be captured."""
        return self.fed[sample] < self._whole[sample]

    def rows(self, segments: list[Segment]) -> list[Row]:
        """Return the rows of a batch that belong to samples.

        Raises:
            DumpError: ``rows-unknown``: a forward has prompt and continuation of one request, or several new tokens;
                ``rows-again``: tokens that were captured are run once more, because the engine had to make room.
        """
        rows: list[Row] = []
        place = 0
        for segment in segments:
            count, first = len(segment.ids), place
            place += count
            request = self._requests.get(segment.request)
            if request is None:
                continue
            step = max(0, segment.computed - request.prompt + 1)
            if step > request.steps or not self.goes_on(request.sample):
                continue
            if segment.computed < self.fed[request.sample]:
                raise DumpError(
                    "rows-again",
                    "the engine ran out of room for keys and values, and runs tokens once more",
                    facts=[("sample", request.sample), ("again from token", segment.computed)],
                    help="use a smaller --batch, or more memory: --engine-arg gpu_memory_utilization=0.95",
                )
            tokens = slice(first, place)
            if step == 0 and segment.computed + count <= request.prompt:
                rows.append(Row(request.sample, 0, 0, tokens, count, segment.computed, request.prompt))
            elif step and count == 1:
                rows.append(Row(request.sample, step, 0, tokens, 1))
            else:
                raise DumpError(
                    "rows-unknown",
                    "the engine ran several new tokens of one request at once",
                    facts=[("sample", request.sample), ("tokens", f"{count} after {segment.computed}")],
                    help="capture without speculative decoding",
                )
            self.fed[request.sample] += count
        return rows

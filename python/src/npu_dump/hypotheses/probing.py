"""Tests every hypothesis about a module, refines those that may fit, and says which one does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from ..errors import DumpError
from ..precision import float64_throughout
from ..reader import DumpFile
from .change import Absent, Hypothesis
from .correlation import Error, Match, above_floor, excess, rest_of_floor
from .families import proposals
from .feed import anatomy_of
from .result import Finding, ProbeResult
from .search import Found, Try, refine, scan, strength
from .subject import Subject

DEFAULT_TOKENS = 2048
# The study's point (method, probes): correct engines reach 0.22 above the floor.
_LEAST_ABOVE_FLOOR = 0.25
# A hypothesis is named where what it leaves is no more than correct engines leave beside the floor (the study's limit
# of energy), or next to nothing of a large error: a fault that is not among the hypotheses resembles one of them.
_REST_OF_FLOOR = 1.5
_SURE = 0.95
# What correlates less is not looked at more closely; and of what does, only the best so many.
_WORTH = 0.2
_REFINED = 6
# The least part of a blend that is a name, and the most: all of it, but for what the least squares miss.
_BLENDED = (0.005, 1.33)
# Two that fit so nearly as well are one and the same here; then the one that is tested first is named.
_SAME_FIT = 0.001

Note = Callable[[int, int], None]


def test(
    model: nn.Module,
    candidate: DumpFile,
    module: str,
    floors: Sequence[DumpFile] = (),
    *,
    tokens: int = DEFAULT_TOKENS,
    progress: Note = lambda _done, _total: None,
) -> ProbeResult:
    """Test every hypothesis about a module of a dump.

    Args:
        model: the float32 reference (float64 for a float32 dump), in evaluation mode; it is as before afterwards.
        candidate: the dump; a replay must be able to take it.
        module: its name in the dump, e.g. ``layers.7.attn``, ``layers.7``, ``norm``, ``logits`` or ``embed``.
        floors: dumps of a correct engine in the candidate's precision on the same tokens. What their own errors
            show, the candidate's may show too. Without one, a hypothesis must explain the error as it is.
        tokens: at most so many are compared, of the longest samples.
        progress: called with how many of how many hypotheses are tested.

    Returns:
        The hypotheses, best first; ``best`` is None where none fits, and where no row could be compared.

    Raises:
        DumpError: the model has no such module, a dump cannot be replayed on it, or a floor has other tokens.
    """
    with float64_throughout(model), torch.no_grad():
        anatomy = anatomy_of(model)
        subject = Subject(anatomy, candidate, module, tokens=tokens)
        beside = [Subject(anatomy, floor, module, tokens=tokens) for floor in floors]
        for floor in beside:
            _check_tokens(subject, floor)
        return _Probe(subject, beside).result(progress)


class _Probe:
    def __init__(self, subject: Subject, floors: Sequence[Subject]) -> None:
        self._subject = subject
        self._floors = floors
        self._error = Error(subject.given, subject.expected)
        self._floor_errors = [Error(floor.given, floor.expected) for floor in floors]

    def result(self, progress: Note) -> ProbeResult:
        # Where nothing is wrong, nothing explains it.
        proposed = list(proposals(self._subject)) if any(self._error.levels) else []
        tested = [proposal for proposal in proposed if isinstance(proposal, Hypothesis)]
        absent = [proposal for proposal in proposed if isinstance(proposal, Absent)]
        found: list[tuple[Hypothesis, Found, Try]] = []
        for number, hypothesis in enumerate(tested, start=1):
            attempt = self._attempt(hypothesis)
            best = scan(hypothesis, attempt)
            if best is None:
                absent.append(Absent(hypothesis.id, hypothesis.cause, "it changes nothing on these tokens"))
            else:
                found.append((hypothesis, best, attempt))
            progress(number, len(tested))
        found.sort(key=lambda entry: -strength(*entry[:2]))
        order = {hypothesis.id: place for place, hypothesis in enumerate(tested)}
        findings = _ranked(list(self._findings(found)), order)
        return ProbeResult(
            module=self._subject.name,
            rows=int(self._error.rows.sum()),
            samples=len(self._subject.samples),
            error=self._error.median,
            floor_error=max((floor.median for floor in self._floor_errors), default=None),
            hypotheses=tuple(findings),
            best=next((finding for finding in findings[:1] if self._fits(finding)), None),
            not_applicable=tuple(absent),
        )

    def _findings(self, found: list[tuple[Hypothesis, Found, Try]]) -> Iterator[Finding]:
        for place, (hypothesis, best, attempt) in enumerate(found):
            worth = strength(hypothesis, best) >= _WORTH
            if worth and place < _REFINED:
                best = refine(hypothesis, best, attempt)
            floor = self._floor_rho(hypothesis, best) if worth and self._floors else None
            yield self._finding(hypothesis, best, floor)

    def _attempt(self, hypothesis: Hypothesis) -> Try:
        tried: dict[float, tuple[Match, ...] | None] = {}

        def attempt(at: float) -> tuple[Match, ...] | None:
            if at not in tried:
                answer = self._subject.answer(hypothesis.change(at))
                tried[at] = self._error.match(answer - self._subject.expected)
            return tried[at]

        return attempt

    def _floor_rho(self, hypothesis: Hypothesis, found: Found) -> float:
        largest = 0.0
        change = hypothesis.change(found.at)
        for subject, error in zip(self._floors, self._floor_errors, strict=True):
            matches = error.match(subject.answer(change) - subject.expected)
            if matches is not None:
                largest = max(largest, abs(matches[found.match.weighting].rho))
        return largest

    def _finding(self, hypothesis: Hypothesis, found: Found, floor: float | None) -> Finding:
        match = found.match
        above = above_floor(match.rho, floor or 0.0, self._error, self._floor_errors, match.weighting)
        # A change is in the error as it is; only of a blend a part of it may be.
        blend = hypothesis.kind == "blend"
        rest = 1 - match.rho**2 if blend else match.rest
        fit = (max(1 - rest, 0.0) / excess(self._error, self._floor_errors, match.weighting)) ** 0.5
        if above < _LEAST_ABOVE_FLOOR or (blend and not _BLENDED[0] <= match.beta <= _BLENDED[1]):
            fit = 0.0
        return Finding(
            hypothesis.id,
            hypothesis.cause,
            match.rho,
            match.beta,
            1 - rest,
            hypothesis.estimate(found.at),
            hypothesis.words(found.at),
            floor,
            fit if fit >= hypothesis.least_fit else 0.0,
            rest_of_floor(rest, self._error, self._floor_errors, match.weighting),
        )

    def _fits(self, finding: Finding) -> bool:
        explained = finding.rest is not None and finding.rest <= _REST_OF_FLOOR
        return finding.fit > 0 and (explained or finding.explains >= _SURE**2)


def _ranked(findings: list[Finding], order: dict[str, int]) -> list[Finding]:
    """Return the best first; of several causes that fit alike, the one that was tested first."""
    findings.sort(key=lambda finding: (-finding.fit, -finding.explains))
    alike = [finding for finding in findings if finding.fit >= findings[0].fit - _SAME_FIT and finding.fit]
    if alike:
        cause = min(alike, key=lambda finding: order[finding.id]).cause
        first = next(finding for finding in alike if finding.cause == cause)
        findings.remove(first)
        findings.insert(0, first)
    return findings


def _check_tokens(subject: Subject, floor: Subject) -> None:
    for ours, theirs in zip(subject.samples, floor.samples, strict=False):
        if ours.number != theirs.number or not torch.equal(ours.ids, theirs.ids):
            break
    else:
        if len(subject.samples) == len(floor.samples):
            return
    raise DumpError(
        "tokens-differ",
        "candidate and floor were made from different token ids",
        facts=[
            ("candidate", f"{Path(subject.source.path).name}: {len(subject.samples)} samples"),
            ("floor", f"{Path(floor.source.path).name}: {len(floor.samples)} samples"),
        ],
        help="capture the floor with --tokens-from and the candidate",
    )

"""What a probe found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .change import Absent


@dataclass(frozen=True)
class Finding:
    """How one hypothesis fits.

    Attributes:
        id: its name.
        cause: what it would be the cause of.
        rho: correlation of the error and the change.
        beta: how many times the change, at its estimate, is in the error; near 1 where all of it is.
        explains: share of the error's energy that is gone without the change (of a blend of weights: without its
            part in the error); rho² where beta is 1. Negative where more is left than there was.
        estimate: its size in natural terms, as ``words`` tells it; None where it has none.
        words: the hypothesis for people.
        floor_rho: the largest correlation with a floor's own error; None where there is no floor, or where it was
            not needed.
        fit: the correlation beside the largest that the error allows: 1 where all that a floor does not show is
            explained; 0 where too little is, or no more than a correct engine's error would show.
        rest: what it leaves of the error, as a multiple of the floor's; None without a floor.
    """

    id: str
    cause: str
    rho: float
    beta: float
    explains: float
    estimate: float | None
    words: str
    floor_rho: float | None
    fit: float
    rest: float | None

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {
            "id": self.id,
            "cause": self.cause,
            "rho": self.rho,
            "beta": self.beta,
            "estimate": self.estimate,
            "words": self.words,
            "explains": self.explains,
            "floor_rho": self.floor_rho,
            "fit": self.fit,
            "rest": self.rest,
        }


@dataclass(frozen=True)
class ProbeResult:
    """What a probe found about one module.

    Attributes:
        module: its name in the dump.
        rows: tokens that were compared.
        samples: samples that they come from.
        error: median over the tokens of |x - r| / |r|.
        floor_error: the largest of the floors' medians; None without a floor.
        hypotheses: what was tested, best first.
        best: what is named, or None where nothing fits.
        not_applicable: what could not be tested here.
    """

    module: str
    rows: int
    samples: int
    error: float
    floor_error: float | None
    hypotheses: tuple[Finding, ...]
    best: Finding | None
    not_applicable: tuple[Absent, ...]

    @property
    def runner_up(self) -> Finding | None:
        """The best of those with another cause than the first has."""
        first = self.hypotheses[:1]
        return next((other for other in self.hypotheses if first and other.cause != first[0].cause), None)

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {
            "module": self.module,
            "rows": self.rows,
            "samples": self.samples,
            "error": self.error,
            "floor_error": self.floor_error,
            "best": self.best.as_json() if self.best else None,
            "hypotheses": [finding.as_json() for finding in self.hypotheses],
            "not_applicable": [
                {"id": absent.id, "cause": absent.cause, "reason": absent.reason} for absent in self.not_applicable
            ],
        }

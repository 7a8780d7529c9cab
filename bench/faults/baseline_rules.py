"""The verdicts of other tools' rules, as scores: a tensor alarms where its score is above 1, the rule's threshold.

A score grows with the error, so one number k in place of 1 is a rule's calibrated threshold: twice the default
tolerance is k = 2, of a cosine the distance from 1 doubles, of decibels the amplitude of the noise does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Figures = Mapping[str, float | bool | None]


@dataclass(frozen=True)
class Rule:
    """A rule of another tool: its name in the tables and its score of one tensor, None where it says nothing."""

    name: str
    score: Callable[[Figures], float | None]

    def of(self, figures: Figures) -> float | None:
        """The score; infinite where a NaN or an infinity stands on one side only."""
        return math.inf if figures["nonfinite"] else self.score(figures)


def _upper(figure: str, limit: float) -> Callable[[Figures], float | None]:
    """A figure that must not pass `limit`."""

    def score(figures: Figures) -> float | None:
        value = figures[figure]
        return None if value is None else value / limit

    return score


def _decibels(figure: str, least: float) -> Callable[[Figures], float | None]:
    """A ratio in dB that must reach `least`."""

    def score(figures: Figures) -> float | None:
        value = figures[figure]
        return None if value is None else 10 ** ((least - value) / 20)

    return score


def _msprobe_thousandth(figures: Figures) -> float | None:
    """Error: fewer than 0.1 of the elements within a thousandth where more than 0.9 of the inputs are.

    The score is that share's distance from 1 over 0.9, the distance that the threshold leaves.
    """
    share, of_input = figures["thousandth"], figures["input_thousandth"]
    if share is None or of_input is None:
        return None
    return (1 - share) / 0.9 if of_input > 0.9 else 0.0


def _msprobe_cosine(figures: Figures) -> float | None:
    """Warning: a cosine more than 0.1 below the input's, where that is above 0.9."""
    distance, of_input = figures["cosine"], figures["input_cosine"]
    if distance is None or of_input is None:
        return None
    return max(0.0, distance - of_input) / 0.1 if of_input < 0.1 else 0.0


def _msprobe_reached(figures: Figures) -> float | None:
    """msprobe's older rule: cosine < 0.99 and largest error > 0.001, or cosine < 0.9, or error > 1."""
    distance, error = figures["cosine"], figures["max_abs"]
    if distance is None or error is None:
        return None
    return max(min(distance / 0.01, error / 0.001), distance / 0.1, error / 1.0)


def _three_way(figures: Figures) -> float | None:
    """The gate of vLLM-Neuron's module tests: (overlap >= 0.99 or sigma <= 1) and worst ratios below 5 and 3."""
    sigma, overlap, linf, l2 = (figures[name] for name in ("sigma", "overlap", "linf", "l2_floor"))
    if sigma is None or overlap is None or linf is None or l2 is None:
        return None
    return max(min(sigma, overlap / 0.01), linf / 5, l2 / 3)


def _largest(*scores: Callable[[Figures], float | None]) -> Callable[[Figures], float | None]:
    """Several rules as one: the largest of the scores that are known."""

    def score(figures: Figures) -> float | None:
        known = [value for value in (one(figures) for one in scores) if value is not None]
        return max(known) if known else None

    return score


RULES = (
    Rule("token cosine min 0.99", _upper("cosine_max", 0.01)),
    Rule("token cosine min 0.999", _upper("cosine_max", 0.001)),
    Rule("token cosine mean 0.99", _upper("cosine_mean", 0.01)),
    Rule("token cosine mean 0.999", _upper("cosine_mean", 0.001)),
    Rule("flattened cosine 0.99", _upper("cosine", 0.01)),
    Rule("flattened cosine 0.999", _upper("cosine", 0.001)),
    Rule("torch assert_close", _upper("close", 1.0)),
    Rule("Polygraphy simple", _upper("elementwise", 1e-5)),
    Rule("Polygraphy cosine 0.997", _upper("sample_cosine", 0.003)),
    Rule("Polygraphy L2", _upper("l2", 1e-5)),
    Rule("Polygraphy PSNR 30 dB", _decibels("psnr", 30)),
    Rule("Polygraphy SNR 20 dB", _decibels("snr", 20)),
    Rule("msprobe thousandth", _msprobe_thousandth),
    Rule("msprobe cosine drop", _msprobe_cosine),
    Rule("msprobe result", _largest(_msprobe_thousandth, _msprobe_cosine)),
    Rule("msprobe accuracy reached", _msprobe_reached),
    Rule("AWS sigma", _upper("sigma", 1.0)),
    Rule("AWS overlap", _upper("overlap", 0.01)),
    Rule("AWS L-inf ratio", _upper("linf", 5.0)),
    Rule("AWS L2 ratio", _upper("l2_floor", 3.0)),
    Rule("AWS gate", _three_way),
)

"""Inverse frequencies of rotary position embeddings, from config.json alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .config_file import number

# float32 frequencies that were made on another device, or in another order of operations, differ by less.
CLOSE = 1e-6


@dataclass(frozen=True)
class Rope:
    """One rotary embedding that config.json describes.

    Attributes:
        kind: its type, e.g. ``default`` or ``yarn``.
        theta: its base.
        settings: the rest of what config.json says.
    """

    kind: str
    theta: float
    settings: Mapping[str, Any]

    def frequencies(self, count: int) -> torch.Tensor | None:
        """Return ``count`` inverse frequencies, float64; None for a type whose formula is not known here.

        Formulas: RoFormer (Su et al. 2021), position interpolation (Chen et al. 2023), YaRN (Peng et al. 2023),
        and Llama 3.1's, as in their authors' code.
        """
        plain = self.theta ** -(torch.arange(count, dtype=torch.float64) / count)
        if self.kind == "default":
            return plain
        factor = self._number("factor")
        if factor is None or factor <= 0:
            return None
        if self.kind == "linear":
            return plain / factor
        if self.kind == "llama3":
            return self._llama3(plain, factor)
        if self.kind == "yarn":
            return self._yarn(plain, factor)
        return None

    def scaling(self) -> float | None:
        """Return the factor of sine and cosine; None for a type whose formula is not known here."""
        if self.kind in ("default", "linear", "llama3"):
            return 1.0
        factor = self._number("factor")
        if self.kind != "yarn" or factor is None:
            return None
        given = self._number("attention_factor")
        if given is not None:
            return given
        upper, lower = self._number("mscale"), self._number("mscale_all_dim")
        return _mscale(factor, upper) / _mscale(factor, lower) if upper and lower else _mscale(factor, 1.0)

    def _number(self, name: str) -> float | None:
        return number(self.settings.get(name))

    def _llama3(self, plain: torch.Tensor, factor: float) -> torch.Tensor | None:
        low, high = self._number("low_freq_factor"), self._number("high_freq_factor")
        original = self._number("original_max_position_embeddings")
        if low is None or high is None or original is None or low == high:
            return None
        # Number of turns in the original context; few turns are stretched, many are kept.
        turns = original * plain / (2 * math.pi)
        smooth = ((turns - low) / (high - low)).clamp(0, 1)
        return (1 - smooth) * plain / factor + smooth * plain

    def _yarn(self, plain: torch.Tensor, factor: float) -> torch.Tensor | None:
        original = self._number("original_max_position_embeddings") or self._number("max_position_embeddings")
        fast, slow = self._number("beta_fast") or 32.0, self._number("beta_slow") or 1.0
        if original is None or original <= 0 or self.theta <= 1 or fast <= 0 or slow <= 0:
            return None
        dimension = 2 * len(plain)
        bounds = [
            dimension * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(self.theta))
            for turns in (fast, slow)
        ]
        if self.settings.get("truncate", True):
            bounds = [math.floor(bounds[0]), math.ceil(bounds[1])]
        low, high = max(bounds[0], 0), min(bounds[1], dimension - 1)
        ramp = (torch.arange(len(plain), dtype=torch.float64) - low) / (high - low if high != low else 0.001)
        stretched = ramp.clamp(0, 1)
        return plain / factor * stretched + plain * (1 - stretched)


def _mscale(factor: float, scale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0


def ropes(config: Mapping[str, Any]) -> list[Rope]:
    """Return every rotary embedding that config.json describes; empty where it describes none."""
    given = config.get("rope_parameters")
    scaling = config.get("rope_scaling")
    theta = config.get("rope_theta", config.get("rotary_emb_base"))
    found: list[Rope | None] = []
    if isinstance(given, dict):
        several = [value for value in given.values() if isinstance(value, dict)]
        found = [_rope(one, theta, config) for one in several or [given]]
    else:
        found = [_rope(scaling if isinstance(scaling, dict) else {}, theta, config)]
    if number(config.get("rope_local_base_freq")) is not None:
        found.append(_rope({}, config["rope_local_base_freq"], config))
    return [rope for rope in found if rope is not None]


def _rope(settings: Mapping[str, Any], theta: Any, config: Mapping[str, Any]) -> Rope | None:
    base = number(settings.get("rope_theta", theta))
    kind = settings.get("rope_type", settings.get("type", "default"))
    if base is None or base <= 0 or not isinstance(kind, str):
        return None
    positions = {"max_position_embeddings": config.get("max_position_embeddings")}
    return Rope(kind, base, positions | dict(settings))


def implied_theta(frequencies: torch.Tensor) -> float | None:
    """Return the base that plain inverse frequencies were made with; None where there are too few to tell."""
    if frequencies.numel() < 2 or not 0 < float(frequencies[1]) < 1:
        return None
    # A hostile value may lead beyond the largest number.
    return math.exp(min(-math.log(float(frequencies[1])) * frequencies.numel(), 700.0))

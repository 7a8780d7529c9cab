"""How much of each tensor is stored: all of it, its statistics, or of the logits the most likely tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from .contract import Encoding
from .errors import DumpError
from .select import matches

Form = Literal["dense", "stats", "topk", "none"]

LOGITS = "logits"
# What stands in the dump for logits that were reduced to their most likely tokens.
REDUCED_LOGITS = ("lse", "topk_ids", "topk_logprobs", "token_logprob")
DEFAULT_TOP_K = 64

_FORMS: dict[str, tuple[Form, Form]] = {
    # mode: of hidden states, of logits
    "full": ("dense", "dense"),
    "hidden": ("dense", "none"),
    "topk": ("dense", "topk"),
    "stats": ("stats", "stats"),
}


class Modes:
    """The mode of each tensor: one for all, and others by pattern; the last pattern that matches counts.

    ======== ============== =======================================================
    mode     hidden states  logits
    ======== ============== =======================================================
    full     whole          whole
    topk     whole          ``lse``, ``topk_ids``, ``topk_logprobs``, ``token_logprob``
    hidden   whole          not stored
    stats    statistics     statistics
    ======== ============== =======================================================

    Args:
        given: ``stats``, or several such as ``["stats", "layers.7.*=full", "logits=topk"]``. Default: ``full``.

    Raises:
        DumpError: one of them is no mode.
    """

    def __init__(self, given: str | Sequence[str] | None = None) -> None:
        self.given = [given] if isinstance(given, str) else list(given or ())
        self.default = "full"
        self.patterns: list[tuple[str, str]] = []
        for text in self.given:
            # A module path may hold an equals sign, a mode does not.
            glob, _, mode = text.rpartition("=")
            if mode not in _FORMS or (not glob and "=" in text):
                raise DumpError(
                    "mode-unknown",
                    "a mode is one of these words, or a pattern and one of them",
                    facts=[("given", text), ("known", ", ".join([*_FORMS, "GLOB=MODE"]))],
                    help="e.g. --mode stats --mode 'layers.7.*=full' --mode logits=topk",
                )
            if glob:
                self.patterns.append((glob, mode))
            else:
                self.default = mode

    def form(self, name: str) -> Form:
        """Return what is stored of the tensor of that name."""
        matching = [mode for glob, mode in self.patterns if matches(glob, name)]
        mode = matching[-1] if matching else self.default
        return _FORMS[mode][name == LOGITS]

    def encoding(self, name: str) -> Encoding:
        """Return how a tensor other than reduced logits is stored."""
        return "stats" if self.form(name) == "stats" else "dense"

    def check(self, names: Iterable[str]) -> None:
        """Raise a `DumpError` where a pattern matches none of the names that are captured."""
        names = list(names)
        for glob, mode in self.patterns:
            if not any(matches(glob, name) for name in names):
                raise DumpError(
                    "mode-empty",
                    "--mode matches no tensor that is captured",
                    facts=[("mode", f"{glob}={mode}"), ("captured", ", ".join(names[:6]) or "nothing")],
                    help="use canonical names (embed, layers.0.attn, layers.*.mlp, norm, logits) or module paths",
                )

    @property
    def label(self) -> str:
        """The mode for the metadata: ``mixed`` where there are several."""
        return "mixed" if self.patterns else self.default

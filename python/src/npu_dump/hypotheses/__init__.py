"""Tests named hypotheses about one module: which change of the reference explains what a device's dump shows there.

The module of a float32 model runs on the dump's own input, so that no error is inherited: e = x - r. Each hypothesis
is a change to that module, v = r(changed) - r, and a matched filter tells how much of e it explains::

    from npu_dump import hypotheses, load

    hypotheses.test(model, load("npu.arrow"), "layers.7.attn").best
"""

from __future__ import annotations

from .probing import DEFAULT_TOKENS, test
from .report import as_text
from .result import Finding, ProbeResult

__all__ = ["DEFAULT_TOKENS", "Finding", "ProbeResult", "as_text", "test"]

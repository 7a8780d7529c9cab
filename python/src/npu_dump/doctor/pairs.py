"""Which versions are made for each other, as their makers' tables say. What no table has is unknown, never fine.

Sources, both as of August 2026:

- torch_npu, torch, CANN and Python: COMPATIBILITY.md of github.com/Ascend/pytorch, commit 9e73e708a;
- vllm-ascend, vLLM, CANN and torch_npu: docs/source/community/versioning_policy.md of
  github.com/vllm-project/vllm-ascend, commit 182b75ea84.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SOURCE_TORCH_NPU = "Ascend/pytorch COMPATIBILITY.md, 2026-08-21"
SOURCE_VLLM_ASCEND = "vllm-ascend versioning_policy.md, 2026-08-22"

# torch_npu: CANN. The torch of a torch_npu is its own version without .postN.
CANN_OF_TORCH_NPU = {
    "2.12.0": {"9.1.0"},
    "2.11.0": {"9.1.0"},
    "2.10.0.post4": {"9.1.0"},
    "2.9.0.post6": {"9.1.0"},
    "2.7.1.post8": {"9.1.0"},
    "2.9.0.post2": {"9.0.0"},
    "2.8.0.post4": {"9.0.0"},
    "2.7.1.post4": {"9.0.0"},
    "2.9.0": {"8.5.0"},
    "2.8.0.post2": {"8.5.0"},
    "2.7.1.post2": {"8.5.0"},
    "2.6.0.post5": {"8.5.0"},
    "2.8.0": {"8.3.RC1"},
    "2.7.1": {"8.3.RC1"},
    "2.6.0.post3": {"8.3.RC1"},
    "2.6.0": {"8.2.RC1"},
    "2.5.1.post1": {"8.2.RC1"},
    "2.5.1": {"8.1.RC1"},
}

# torch under torch_npu: minor versions of Python 3, the first and the last.
PYTHON_OF_TORCH = {
    "2.13.0": (10, 14),
    "2.12.0": (10, 14),
    "2.11.0": (10, 14),
    "2.10.0": (10, 13),
    "2.9.0": (10, 13),
    "2.8.0": (9, 13),
    "2.7.1": (9, 13),
    "2.6.0": (9, 11),
    "2.5.1": (9, 11),
}


@dataclass(frozen=True)
class Release:
    """What one vllm-ascend is released for."""

    vllm: tuple[str, ...]
    cann: str
    torch_npu: str


VLLM_ASCEND = {
    "0.23.0": Release(("0.23.0",), "9.1.0", "2.10.0.post4"),
    "0.23.0rc1": Release(("0.23.0",), "9.0.1", "2.10.0.post2"),
    "0.22.1rc1": Release(("0.22.1",), "9.0.0", "2.10.0"),
    "0.21.0rc1": Release(("0.21.0",), "9.0.0", "2.10.0"),
    "0.20.2rc1": Release(("0.20.2",), "9.0.0", "2.10.0"),
    "0.19.1rc1": Release(("0.19.1",), "8.5.1", "2.9.0"),
    "0.18.0": Release(("0.18.0",), "8.5.1", "2.9.0.post1"),
    "0.18.0rc1": Release(("0.18.0",), "8.5.1", "2.9.0"),
    "0.17.0rc1": Release(("0.17.0",), "8.5.1", "2.9.0"),
    "0.16.0rc1": Release(("0.16.0",), "8.5.1", "2.9.0"),
    "0.15.0rc1": Release(("0.15.0",), "8.5.0", "2.9.0"),
    "0.14.0rc1": Release(("0.14.1",), "8.5.0", "2.9.0"),
    "0.13.0rc3": Release(("0.13.0",), "8.5.1", "2.8.0.post2"),
    "0.13.0": Release(("0.13.0",), "8.5.0", "2.8.0.post2"),
    "0.13.0rc2": Release(("0.13.0",), "8.5.0", "2.8.0.post1"),
    "0.13.0rc1": Release(("0.13.0",), "8.3.RC2", "2.8.0"),
    "0.12.0rc1": Release(("0.12.0",), "8.3.RC2", "2.8.0"),
    "0.11.0": Release(("0.11.0",), "8.3.RC2", "2.7.1.post1"),
    "0.11.0rc3": Release(("0.11.0",), "8.3.RC2", "2.7.1.post1"),
    "0.11.0rc2": Release(("0.11.0",), "8.3.RC2", "2.7.1"),
    "0.11.0rc1": Release(("0.11.0",), "8.3.RC1", "2.7.1"),
    "0.10.2rc1": Release(("0.10.2",), "8.2.RC1", "2.7.1.dev20250724"),
    "0.10.1rc1": Release(("0.10.1", "0.10.1.1"), "8.2.RC1", "2.7.1.dev20250724"),
    "0.10.0rc1": Release(("0.10.0",), "8.2.RC1", "2.7.1.dev20250724"),
    "0.9.2rc1": Release(("0.9.2",), "8.1.RC1", "2.5.1.post1.dev20250619"),
    "0.9.1": Release(("0.9.1",), "8.2.RC1", "2.5.1.post1"),
    "0.9.1rc3": Release(("0.9.1",), "8.2.RC1", "2.5.1.post1"),
    "0.9.1rc2": Release(("0.9.1",), "8.2.RC1", "2.5.1.post1"),
    "0.9.1rc1": Release(("0.9.1",), "8.1.RC1", "2.5.1.post1.dev20250528"),
}


def public(version: str) -> str:
    """Return a version without its local part: ``2.9.0.post1+git4c901a4`` is a build of ``2.9.0.post1``."""
    return version.partition("+")[0]


def base(version: str) -> str:
    """Return the release that a version belongs to: ``2.9.0`` of ``2.9.0.post1``, ``2.9.0rc1`` or ``2.9.0+cpu``."""
    found = re.match(r"\d+(\.\d+)*", public(version))
    return found[0] if found else public(version)


def public_cann(version: str) -> str:
    """Return CANN's version without what builds add: ``8.5.0`` of ``8.5.0.B110``, ``8.1.RC1`` of ``8.1.rc1.1``."""
    found = re.match(r"\d+\.\d+\.(?:RC)?\d+", version, re.IGNORECASE)
    return found[0].upper() if found else version


def cann_of(torch_npu: str) -> set[str]:
    """Return every CANN that one of the tables names beside a torch_npu; empty where none knows it."""
    beside = {release.cann for release in VLLM_ASCEND.values() if release.torch_npu == torch_npu}
    return CANN_OF_TORCH_NPU.get(torch_npu, set()) | beside

"""Which tensors are wanted: globs on their names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches

from .errors import DumpError

DEFAULT = ("embed", "layers.*", "norm", "logits")


class Selection:
    """The names that a list of globs stands for.

    ``*`` matches any characters, dots included. A glob that matches a canonical name means canonical names only; one
    that matches none is a glob on module paths.

    Args:
        globs: the globs; one text or several. Empty or None: `DEFAULT`.
        canonical: the canonical names that the model can give.
        paths: its module paths, or what the engine calls its tensors.
        others: what those are called.

    Raises:
        DumpError: a glob matches nothing.
    """

    def __init__(
        self,
        globs: str | Sequence[str] | None,
        canonical: Iterable[str],
        paths: Iterable[str],
        others: str = "module paths",
    ) -> None:
        self.globs = [globs] if isinstance(globs, str) else list(globs or DEFAULT)
        names, modules = list(canonical), list(paths)
        self.canonical: set[str] = set()
        self.paths: set[str] = set()
        self._modules: dict[str, set[str]] = {}
        for glob in list(self.globs):
            matched = {name for name in names if matches(glob, name)}
            self.canonical |= matched
            if matched:
                continue
            if not globs:
                # The metadata promises what is there: a model without a final norm is meant to have none.
                self.globs.remove(glob)
                continue
            matched = {path for path in modules if matches(glob, path)}
            self.paths |= matched
            self._modules[glob] = matched
            if not matched:
                near = get_close_matches(glob, [*names, *modules], n=3, cutoff=0.3)
                raise DumpError(
                    "select-empty",
                    "--select matches no tensor of this model",
                    facts=[("select", glob), ("nearest", ", ".join(near) or "none")],
                    help=f"use canonical names (embed, layers.0.attn, layers.*.mlp, norm, logits) or {others}",
                )

    def unused(self, taken: Collection[str]) -> list[str]:
        """Return the globs on module paths of which nothing is among the paths that were ``taken``."""
        return [glob for glob, paths in self._modules.items() if paths.isdisjoint(taken)]


def matches(glob: str, name: str) -> bool:
    """Return whether the whole name matches; only ``*`` is special."""
    return re.fullmatch(".*".join(map(re.escape, glob.split("*"))), name, re.DOTALL) is not None

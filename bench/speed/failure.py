"""What went wrong, in three parts: what, why, what to do."""

from __future__ import annotations

from collections.abc import Sequence


class Failure(Exception):  # noqa: N818 - as the scripts of the repository call it
    """The benchmark, or one tool in it, cannot go on.

    Args:
        what: one line.
        facts: labels, and the facts that disagree.
        help: what to do.
    """

    def __init__(self, what: str, *, facts: Sequence[tuple[str, object]], help: str) -> None:  # noqa: A002
        super().__init__(what)
        self.facts = [(label, str(fact)) for label, fact in facts]
        self.help = help

    def __str__(self) -> str:
        lines = [*self.facts, ("help", self.help)]
        width = max(len(label) for label, _ in lines)
        indent = " " * (width + 4)
        return "\n".join(
            [self.args[0], *(f"  {label:{width}}  {fact}".replace("\n", f"\n{indent}") for label, fact in lines)]
        )

"""What went wrong, in three parts: what, why, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from npu_dump.errors import printable


class Failure(Exception):  # noqa: N818 - as the scripts of the repository call it
    """The benchmark, or one tool in it, cannot go on.

    Args:
        what: one line.
        facts: labels, and the facts that disagree. What tools printed may be among them: it is escaped.
        help: what to do.
    """

    def __init__(self, what: str, *, facts: Sequence[tuple[str, object]], help: str) -> None:  # noqa: A002
        self._facts = [*((label, str(fact)) for label, fact in facts), ("help", help)]
        super().__init__(what)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield printable(self.args[0])
        width = max(len(label) for label, _ in self._facts)
        for label, fact in self._facts:
            first, *rest = fact.splitlines() or [""]
            yield f"  {label:{width}}  {printable(first)}"
            yield from (f"  {'':{width}}  {printable(line)}" for line in rest)

"""Tables of text, for a terminal or in Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 100


@dataclass(frozen=True)
class Grid:
    """A titled table: the first column on the left, the others on the right, notes below it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """For a terminal of 100 columns; a name that is too long for its line is cut."""
        cells = [[str(cell) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        widths[0] = min(widths[0], WIDTH - sum(widths[1:]) - 2 * (len(widths) - 1))
        lines = [self._line(row, widths) for row in cells] if self.rows else ["(none)"]
        notes = [line for note in self.notes for line in textwrap.wrap(note, WIDTH)]
        return "\n".join([self.title, "", *lines, *([""] if notes else []), *notes])

    @staticmethod
    def _line(row: Sequence[str], widths: Sequence[int]) -> str:
        first, *rest = row
        name = first if len(first) <= widths[0] else f"{first[: widths[0] - 1]}~"
        cells = [name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        return "  ".join(cells).rstrip()

    def markdown(self) -> str:
        """As a table of GitHub's Markdown."""
        head = "| " + " | ".join(self.columns) + " |"
        rule = "| --- |" + " ---: |" * (len(self.columns) - 1)
        rows = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in self.rows]
        body = [head, rule, *rows] if rows else ["(none)"]
        return "\n\n".join([f"**{self.title}**", "\n".join(body), *self.notes])

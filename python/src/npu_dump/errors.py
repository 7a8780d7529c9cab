"""The one error of this package: what happened, why, and what to do."""

from __future__ import annotations

from collections.abc import Sequence


class DumpError(Exception):
    """Something could not be done; says what, the facts that explain it, and the way out.

    Raised for everything a caller can act on: bad input, an absent device, a full disk. The command line prints it
    and exits with 2.

    Attributes:
        code: stable identifier in kebab-case, e.g. ``device-absent``.
        what: one sentence without a full stop.
        facts: ``(label, text)`` pairs, usually the two that disagree.
        help: what to do about it, in the imperative.
    """

    def __init__(self, code: str, what: str, *, facts: Sequence[tuple[str, object]] = (), help: str) -> None:  # noqa: A002 - the field's name in the output
        self.code = code
        self.what = what
        self.facts = [(label, str(text)) for label, text in facts]
        self.help = help
        super().__init__(self.render())

    def render(self) -> str:
        """Return the error as it is shown, one line a part, hostile characters escaped."""
        width = max((len(label) for label, _ in self.facts), default=0)
        lines = [f"error[{self.code}]: {printable(self.what)}"]
        lines += [f"  {label:<{width}}  {printable(text)}" for label, text in self.facts]
        lines.append(f"  help: {printable(self.help)}")
        return "\n".join(lines)


def printable(text: str) -> str:
    """Return ``text`` with control characters, bidirectional marks and lone surrogates escaped.

    File names, prompts and tensor names come from strangers: a terminal must not obey them.
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)

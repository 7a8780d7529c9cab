"""The recipes of ``docs/recipes``, cut into their commands."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "recipes"
NAMES = sorted(path.name.removesuffix(".zh.md") for path in FOLDER.glob("*.zh.md") if path.name != "README.zh.md")

# The first line of every block: where its commands run.
FILES, CPU, TASKS = "# files", "# CPU", "# CPU, tasks"
NPU, TORCH_NPU, VLLM, SERVER, NPU_TASKS = (
    "# NPU",
    "# NPU, torch_npu",
    "# NPU, vLLM-Ascend",
    "# NPU, server",
    "# NPU, tasks",
)
MARKERS = {FILES, CPU, TASKS, NPU, TORCH_NPU, VLLM, SERVER, NPU_TASKS}


@dataclass(frozen=True)
class Block:
    """A fenced block of shell commands.

    Attributes:
        marker: its first line, which says where it runs.
        script: the rest.
    """

    marker: str
    script: str

    @property
    def commands(self) -> list[list[str]]:
        """The arguments of each command, the program's name first; of blocks without here-documents alone."""
        return [shlex.split(line) for line in self.script.replace("\\\n", "").splitlines() if line]


def text_of(name: str, language: str = "") -> str:
    """A recipe as it is written; ``language`` is empty for English, else ``".zh"``."""
    return (FOLDER / f"{name}{language}.md").read_text(encoding="utf-8")


def blocks_of(name: str, language: str = "") -> list[Block]:
    """Every block of a recipe, in order."""
    found = re.findall(r"^```sh\n(.*?)\n(.*?)^```$", text_of(name, language), re.MULTILINE | re.DOTALL)
    return [Block(marker, script) for marker, script in found]


def tables(markdown: str) -> list[list[list[str]]]:
    """The cells of every table, row by row; the head first, the rule left out."""
    found: list[list[list[str]]] = [[]]
    for line in markdown.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if not all(re.fullmatch(r"-+", cell) for cell in cells):
                found[-1].append(cells)
        elif found[-1]:
            found.append([])
    return [table for table in found if table]

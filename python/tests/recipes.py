"""The recipes of ``docs/recipes``, cut into their commands."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Sequence
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

AT_MOST = {"--generate": 3, "--output-tokens": 2, "--input-tokens": 4, "--requests": 2, "--batch": 2}
# Of `bench`; the last of an option counts.
ONE_ROUND = ["--warmup", "0", "--iterations", "1"]
# The points of a sweep are as many, and smaller.
SWEEPS = {"--sweep-batch", "--sweep-output"}
PASSAGES = {
    "en.txt": ["The harbour opens at six.", "One winter does little.", "Every light keeps time."],
    "zh.txt": ["竹子开花很少见。", "冬天水会结冰。", "灯塔按时发光。"],
}


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


def cut(arguments: Sequence[str]) -> list[str]:
    """The arguments with smaller amounts."""

    def amount(option: str, value: str) -> str:
        if option in SWEEPS:
            return ",".join(map(str, range(1, 1 + len(value.split(",")))))
        return str(min(int(value), AT_MOST[option])) if option in AT_MOST else value

    smaller = [amount(option, value) for option, value in zip(["", *arguments], arguments, strict=False)]
    return [*smaller, *ONE_ROUND] if arguments[0] == "bench" else smaller


def write_files(name: str, folder: Path) -> None:
    """Write the user's texts, and what the recipe makes of them."""
    for file, lines in PASSAGES.items():
        (folder / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    for block in blocks_of(name):
        if block.marker == FILES:
            shell = ["bash", "-euc", block.script]
            subprocess.run(shell, cwd=folder, check=True)

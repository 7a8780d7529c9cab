"""The lines of every recipe for vLLM and for a server, on a small Llama, for which vLLM has kernels on a CPU."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..recipes import CPU, NAMES, SERVER, VLLM, blocks_of, cut, tables, write_files
from .conftest import Run
from .test_endpoint import made, served

pytestmark = pytest.mark.long

# It has every kind of line that the others have.
FULLEST = "Qwen3.5-0.8B-Base"
ADDRESS = "http://127.0.0.1:8000/v1"
Commands = Callable[..., None]


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


@pytest.fixture(scope="module", params=NAMES)
def recipe(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def commands(recipe: str, npu_dump: Run, npu_diff: Run) -> Commands:
    """Carries out the lines of one kind, in the working folder; ``url`` takes the place of the recipe's server."""

    def carry_out(marker: str, *, programs: tuple[str, ...], url: str = ADDRESS) -> None:
        for block in blocks_of(recipe):
            for program, *arguments in block.commands if block.marker == marker else []:
                # A server's dump has nothing that could be replayed.
                if f"{program} {arguments[0]}" not in programs or "ref/" in arguments:
                    continue
                placed = [argument.replace(ADDRESS, url) for argument in arguments]
                if program == "npu-dump":
                    made(npu_dump, *cut(placed))
                    continue
                line, _, to = " ".join(placed).partition(" > ")
                ran = npu_diff(*line.split())
                assert ran.code in (0, 3), ran.out + ran.err
                if to:
                    Path(to).write_text(ran.out, encoding="utf-8")

    return carry_out


@pytest.fixture(scope="module")
def folder(recipe: str, commands: Commands, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the CPU makes of the texts."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / recipe).symlink_to(model)
    write_files(recipe, folder)
    with inside(folder):
        commands(CPU, programs=("npu-dump run",))
    return folder


def tables_of(path: Path) -> list[list[list[str]]]:
    return tables(path.read_text(encoding="utf-8"))


def rows_of(path: Path) -> dict[str, list[str]]:
    """The first cell of every row of every table, and the others."""
    return {row[0]: row[1:] for table in tables_of(path) for row in table}


def test_lines_for_vllm(recipe: str, commands: Commands, folder: Path) -> None:
    with inside(folder):
        commands(VLLM, programs=("npu-dump vllm", "npu-dump bench"))
        commands(CPU, programs=("npu-diff compare", "npu-diff inspect"))
    precision = rows_of(folder / "PRECISION.md")
    assert precision["Perplexity (PPL) ↓"][2].startswith("Δ = ")
    assert not any(cell.startswith("not measured") for row in precision.values() for cell in row)
    assert (folder / "npu-bench.arrow").is_file() == (folder / "PERFORMANCE.md").is_file()
    if recipe == FULLEST:
        texts = rows_of(folder / "TEXTS.md")
        assert all(cell.endswith("(8/8)") for cell in texts["Determinism (self-consistency)"][:2])
        performance = rows_of(folder / "PERFORMANCE.md")
        for name in ("Load of weights, s ↓", "Weights ↓", "KV cache tokens ↑", "KV cache ↑", "Max concurrency ↑"):
            assert float(performance[name][0].split()[0]) > 0


def test_lines_for_a_server(recipe: str, commands: Commands, folder: Path, model: Path, tmp_path: Path) -> None:
    for dump in folder.glob("cpu*.arrow"):
        shutil.copy(dump, tmp_path)
    for text in folder.glob("*.txt"):
        shutil.copy(text, tmp_path)
    with inside(tmp_path):
        with served(model, tmp_path / "log.txt") as (url, _):
            commands(SERVER, programs=("npu-dump endpoint", "npu-dump bench"), url=url)
        commands(CPU, programs=("npu-diff compare", "npu-diff inspect"))
    precision = rows_of(tmp_path / "PRECISION.md")
    assert precision["Perplexity (PPL) ↓"][2].startswith("Δ = ")
    assert precision["MSE of the logits"][2] == "not measured: no logits on both sides"
    if recipe == FULLEST:
        assert rows_of(tmp_path / "TEXTS.md")["Determinism (self-consistency)"][:2] == ["100.0 % (8/8)"] * 2
        performance = rows_of(tmp_path / "PERFORMANCE.md")
        assert float(performance["TTFT, ms ↓"][0]) > 0
        assert performance["KV cache tokens ↑"][0].startswith("not measured: ")

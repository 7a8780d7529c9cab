"""What the recipes say: the same commands in both languages, and none that the program would refuse."""

from __future__ import annotations

import re

import pytest

from npu_dump.cli import build_parser

from .recipes import CPU, FOLDER, MARKERS, NAMES, SERVER, TORCH_NPU, VLLM, blocks_of, tables, text_of


def test_every_published_adaptation_has_a_recipe_that_the_index_names() -> None:
    assert NAMES == ["BitCPM4-CANN-1B", "Meta-Llama-3-8B", "Minitron-8B-Base", "Qwen3.5-0.8B-Base", "gpt-oss-20b"]
    for language in ("", ".zh"):
        index = (FOLDER / f"README{language}.md").read_text(encoding="utf-8")
        assert set(NAMES) <= set(re.findall(rf"\]\((\S+?){re.escape(language)}\.md\)", index))


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_hold_the_same_commands_and_tables(name: str) -> None:
    english, chinese = blocks_of(name), blocks_of(name, ".zh")
    assert english == chinese
    assert {CPU, TORCH_NPU, VLLM, SERVER} <= {block.marker for block in english} <= MARKERS
    # Every fenced block is one of them.
    assert text_of(name).count("```") == 2 * len(english)
    shapes = [[(len(table), len(table[0])) for table in tables(text_of(name, language))] for language in ("", ".zh")]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", NAMES)
def test_no_command_is_refused_for_its_options(name: str) -> None:
    parser = build_parser()
    found = [
        command
        for block in blocks_of(name)
        if block.marker.startswith(("# CPU", "# NPU"))
        for command in block.commands
        if command[0] == "npu-dump"
    ]
    assert len(found) >= 10
    for command in found:
        parser.parse_args(command[1:])


@pytest.mark.parametrize("name", NAMES)
def test_every_way_of_capturing_makes_the_same_files(name: str) -> None:
    """So that each may take the place of another before the comparison."""
    made = {
        block.marker: [command[command.index("-o") + 1] for command in block.commands if command[0] == "npu-dump"]
        for block in blocks_of(name)
        if block.marker in (TORCH_NPU, VLLM, SERVER)
    }
    assert made[TORCH_NPU] == made[VLLM] == made[SERVER]

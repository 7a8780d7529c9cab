"""Reading prompts, and refusing what is none."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npu_dump import DumpError
from npu_dump.prompts import Prompt, read_chunks, read_prompts


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_text_has_one_prompt_a_line(tmp_path: Path) -> None:
    path = write(tmp_path, "p.txt", '\ufeffone\n\n  two \r\n{"prompt": 1}\n \u2028 x')
    assert [prompt.text for prompt in read_prompts(path)] == ["one", "  two ", '{"prompt": 1}', " \u2028 x"]


def test_json_lines(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "p.jsonl",
        '{"prompt": "a\\nb", "expect": ["Paris", "巴黎"]}\n\n{"messages": [{"role": "user", "content": "hi"}]}\n',
    )
    assert read_prompts(path) == [
        Prompt(text="a\nb", expect=("Paris", "巴黎")),
        Prompt(messages=({"role": "user", "content": "hi"},)),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no object"),
        ("{}", "one of prompt and messages"),
        ('{"prompt": "a", "messages": []}', "one of prompt and messages"),
        ('{"prompt": ""}', "prompt is no text, or empty"),
        ('{"prompt": 3}', "prompt is no text, or empty"),
        ('{"prompt": "a", "expect": "b"}', "expect is no list of texts"),
        ('{"prompt": "a", "expect": [1]}', "expect is no list of texts"),
        ('{"prompt": "a", "expected": []}', "unknown key expected"),
        ('{"messages": []}', "messages is no list, or empty"),
        ('{"messages": [{"role": "user"}]}', "lacks role or content"),
        ('{"messages": [{"role": "user", "content": 1}]}', "no object of texts"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, reason: str) -> None:
    path = write(tmp_path, "p.jsonl", f'{{"prompt": "fine"}}\n{line}\n')
    with pytest.raises(DumpError) as caught:
        read_prompts(path)
    assert caught.value.code == "prompts-invalid"
    assert caught.value.facts[0] == ("line", "p.jsonl:2")
    assert reason in caught.value.facts[1][1]


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "prompts-empty"), (b" \n\n", "prompts-empty"), (b"\xff\xfe\x00", "prompts-unreadable")],
)
def test_bad_files(tmp_path: Path, content: bytes, code: str) -> None:
    with pytest.raises(DumpError) as caught:
        read_prompts(write(tmp_path, "p.txt", content))
    assert caught.value.code == code


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(DumpError, match="prompts-unreadable"):
        read_prompts(tmp_path / "absent.txt")


@given(
    paragraphs=st.lists(st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=30), max_size=8),
    chunk=st.integers(1, 20),
    minimum=st.integers(0, 15),
    limit=st.none() | st.integers(1, 4),
)
def test_chunks_are_the_text_in_order(
    tmp_path_factory: pytest.TempPathFactory, paragraphs: list[str], chunk: int, minimum: int, limit: int | None
) -> None:
    path = write(tmp_path_factory.mktemp("t"), "t.txt", "\n\n".join(paragraphs))
    kept = "\n".join(text for text in paragraphs if text and len(text) >= minimum)

    def chunks() -> list[list[int]]:
        return read_chunks(path, lambda text: list(text.encode()), chunk=chunk, min_chars=minimum, limit=limit)

    if not kept:
        with pytest.raises(DumpError, match="prompts-empty"):
            chunks()
        return
    found = chunks()
    assert len(found) == min(limit or 10**9, -(-len(kept) // chunk))
    assert bytes(itertools.chain.from_iterable(found)).decode() == kept[: chunk * len(found)]
    assert all(len(part) == chunk for part in found[:-1])

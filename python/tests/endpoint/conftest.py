"""A server, prompts, and the command as tests run it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from npu_dump.cli import main

from ..command import told_error
from .server import FakeServer, running

Refused = Callable[..., str]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with running() as started:
        yield started


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("The capital\nthe sea is wide\nParis\n", encoding="utf-8")
    return path


@pytest.fixture
def ask(server: FakeServer, texts: Path, tmp_path: Path) -> Callable[..., int]:
    """The command with three prompts, unless others are given; the dump is ``a.arrow``."""

    def run(*arguments: object, prompts: bool = True) -> int:
        source = ("--prompts", texts) if prompts else ()
        given = ("endpoint", "--url", server.url, "-o", tmp_path / "a.arrow", *source, *arguments)
        return main([*map(str, given)])

    return run


@pytest.fixture
def refused(ask: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Refused:
    """The error of a command that must fail in time, after looking at its form."""

    def run(*arguments: object, prompts: bool = True, seconds: float = 20.0) -> str:
        capfd.readouterr()
        started = time.monotonic()
        assert ask(*arguments, prompts=prompts) == 2
        assert time.monotonic() - started < seconds
        error = told_error(capfd)
        assert not (tmp_path / "a.arrow").exists()
        return error

    return run


@pytest.fixture
def one(tmp_path: Path) -> Path:
    path = tmp_path / "one.txt"
    path.write_text("Paris", encoding="utf-8")
    return path

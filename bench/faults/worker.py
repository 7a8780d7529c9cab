"""A process of the benchmark: takes groups of cases and sends back their records, one by one."""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from .captures import Base, Pair
from .cases import Case
from .judge import Judge
from .record import run

# Models that are kept loaded, of one process.
_KEPT = 2


def work(connection: Connection, scratch: Path) -> None:
    """Answer each list of ids with the records of these cases, then None; end where the other side has gone.

    Args:
        connection: to the process that hands out groups.
        scratch: a folder for dumps.
    """
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    pairs: OrderedDict[tuple[str, str], Pair] = OrderedDict()
    with Judge() as judge:
        while True:
            try:
                ids = connection.recv()
            except EOFError:
                return
            for record in _records([Case.of(name) for name in ids], pairs, judge, scratch):
                connection.send(record)
            connection.send(None)


def _records(
    cases: Sequence[Case], pairs: OrderedDict[tuple[str, str], Pair], judge: Judge, scratch: Path
) -> Iterator[dict[str, Any]]:
    """Yield the records of cases of one group; a case that fails to run has its error in the place of figures."""
    first = cases[0]
    with tempfile.TemporaryDirectory(dir=scratch, prefix=f"{os.getpid()}-") as folder:
        try:
            base = Base(_pair(first, pairs), first.text, Path(folder))
        except Exception as error:
            yield from (_failed(case, error) for case in cases)
            return
        for case in cases:
            try:
                yield run(case, base, judge)
            except Exception as error:
                yield _failed(case, error)


def _pair(case: Case, pairs: OrderedDict[tuple[str, str], Pair]) -> Pair:
    key = (case.model.name, case.dtype)
    if key not in pairs:
        while len(pairs) >= _KEPT:
            pairs.popitem(last=False)
        pairs[key] = Pair(case.model, case.dtype)
    return pairs[key]


def _failed(case: Case, error: BaseException) -> dict[str, Any]:
    return {"id": case.id, "error": f"{type(error).__name__}: {error}"}

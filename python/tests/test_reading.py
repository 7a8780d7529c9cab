"""Dumps are plain Arrow: other readers agree with ours, and ours refuses what is no dump."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from npu_dump import DumpError, DumpWriter, load


@pytest.fixture
def dump(tmp_path: Path) -> tuple[Path, np.ndarray]:
    values = np.random.default_rng(0).standard_normal((5, 4)).astype("<f4")
    with DumpWriter(tmp_path / "a.arrow", run={"dtype": "F32"}) as writer:
        writer.write_text("prompt", "größer 巴黎")
        writer.write("layers.0.mlp", values, sample=0)
    return tmp_path / "a.arrow", values


def test_pyarrow_reads_a_tensor_in_a_few_lines(dump: tuple[Path, np.ndarray]) -> None:
    path, values = dump
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    row = next(row for row in table.to_pylist() if row["name"] == "layers.0.mlp")
    assert np.array_equal(np.frombuffer(row["data"], "<f4").reshape(row["shape"]), values)


def test_polars_reads_it(dump: tuple[Path, np.ndarray]) -> None:
    path, values = dump
    row = pl.read_ipc(path).filter(pl.col("name") == "layers.0.mlp").row(0, named=True)
    assert np.array_equal(np.frombuffer(row["data"], "<f4").reshape(row["shape"]), values)
    assert row["stats"]["max"] == values.max()


def test_duckdb_queries_it(dump: tuple[Path, np.ndarray]) -> None:
    path, values = dump
    table = pa.ipc.open_file(str(path)).read_all()
    query = "SELECT name, stats.rms, octet_length(data) FROM dump WHERE kind = 'hidden'"
    with duckdb.connect() as connection:
        connection.register("dump", table)
        (found,) = connection.execute(query).fetchall()
    assert found[0] == "layers.0.mlp"
    assert found[1] == pytest.approx(float(np.sqrt((values.astype(float) ** 2).mean())), rel=1e-12)
    assert found[2] == values.nbytes


def test_text_comes_back(dump: tuple[Path, np.ndarray]) -> None:
    opened = load(dump[0])
    assert opened.text("prompt", 0) == "größer 巴黎"
    assert opened.text("token_text", 0) is None
    assert len(opened) == 2
    with pytest.raises(KeyError):
        opened["layers.9.mlp", 0, 0]


def write_plain(path: Path, metadata: dict[bytes, bytes], columns: dict[str, list[object]] | None = None) -> None:
    table = pa.table(columns or {"x": [1]}).replace_schema_metadata(metadata)
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize(
    ("metadata", "code", "text"),
    [
        ({}, "not-a-dump", "npu_diff.version"),
        ({b"npu_diff.version": b"2"}, "dump-version", "version 2"),
        ({b"npu_diff.version": b"1"}, "not-a-dump", "no JSON"),
        ({b"npu_diff.version": b"1", b"npu_diff.run": b"[]"}, "not-a-dump", "lacks tool, id, dtype"),
        ({b"npu_diff.version": b"1", b"npu_diff.run": b'{"tool":{},"id":"1","dtype":"F32"}'}, "not-a-dump", "column"),
    ],
)
def test_other_arrow_files_are_refused(tmp_path: Path, metadata: dict[bytes, bytes], code: str, text: str) -> None:
    write_plain(tmp_path / "a.arrow", metadata)
    with pytest.raises(DumpError, match=text) as caught:
        load(tmp_path / "a.arrow")
    assert caught.value.code == code


def test_a_missing_file_and_a_cut_one_are_refused(dump: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(DumpError, match="dump-unreadable"):
        load(tmp_path / "absent.arrow")
    whole = dump[0].read_bytes()
    for size in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.arrow").write_bytes(whole[:size])
        with pytest.raises(DumpError) as caught:
            load(tmp_path / "cut.arrow")
        assert caught.value.code == "dump-incomplete"


def test_a_file_without_run_end_is_incomplete(dump: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    table = pa.ipc.open_file(str(dump[0])).read_all()
    with pa.ipc.new_file(str(tmp_path / "b.arrow"), table.schema) as writer:
        writer.write_table(table.slice(0, table.num_rows - 1))
    with pytest.raises(DumpError, match=r"last row is not run\.end"):
        load(tmp_path / "b.arrow")


def test_optional_columns_may_be_absent(dump: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, values = dump
    table = pa.ipc.open_file(str(path)).read_all()
    lean = table.drop_columns(["layer", "module", "repeat", "rank", "start", "encoding", "stats"])
    with pa.ipc.new_file(str(tmp_path / "b.arrow"), lean.schema) as writer:
        writer.write_table(lean)
    assert np.array_equal(load(tmp_path / "b.arrow")["layers.0.mlp", 0, 0], values)
    assert json.loads(lean.schema.metadata[b"npu_diff.run"])["dtype"] == "F32"


def test_damage_is_refused_or_harmless(dump: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    """Flipped bytes anywhere give an error of ours, or a dump that can be read; nothing else, and no crash."""
    rng = np.random.default_rng(0)
    whole = np.frombuffer(dump[0].read_bytes(), "u1")
    refused = 0
    for _ in range(400):
        damaged = whole.copy()
        damaged[rng.integers(0, whole.size, 3)] = rng.integers(0, 256, 3)
        (tmp_path / "b.arrow").write_bytes(damaged.tobytes())
        try:
            opened = load(tmp_path / "b.arrow")
            for key in opened:
                opened[key]
        except DumpError:
            refused += 1
    assert 100 < refused < 400

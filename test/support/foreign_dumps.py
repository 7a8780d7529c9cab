"""Writes dumps as other tools write them, one file a variant, into the folder given.

Each holds the same tensors; expected.json beside them says which, with the
SHA-256 of their bytes. What no dump may look like is in refused/.

    python test/support/foreign_dumps.py FOLDER
"""

import hashlib
import itertools
import json
import pathlib
import sys

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc as ipc

RUN = {"tool": {"name": "foreign", "version": "0"}, "id": "f0", "dtype": "F32"}
METADATA = {"npu_diff.version": "1", "npu_diff.run": json.dumps(RUN)}
STATS = pa.struct(
    [(name, pa.float64()) for name in ("min", "max", "mean", "rms")]
    + [(name, pa.int64()) for name in ("nan", "posinf", "neginf")]
)
SCHEMA = pa.schema(
    [
        pa.field("name", pa.utf8(), False),
        pa.field("kind", pa.utf8(), False),
        pa.field("layer", pa.int32()),
        pa.field("module", pa.utf8()),
        pa.field("sample", pa.int32(), False),
        pa.field("step", pa.int32(), False),
        pa.field("repeat", pa.int32(), False),
        pa.field("rank", pa.int32(), False),
        pa.field("dtype", pa.utf8(), False),
        pa.field("shape", pa.list_(pa.int64()), False),
        pa.field("start", pa.int64(), False),
        pa.field("encoding", pa.utf8(), False),
        pa.field("data", pa.large_binary(), False),
        pa.field("stats", STATS),
    ],
    metadata=METADATA,
)


STATS = {"min": 0.0, "max": 1.0, "mean": 0.5, "rms": 1.0, "nan": 0, "posinf": 0, "neginf": 0}


def rows() -> list[dict]:
    """The rows of the dump, a chunked tensor and tiny data (inline in a view) among them."""
    random = np.random.default_rng(5)
    tensors = {
        "input_ids": random.integers(0, 1000, 9, dtype="<i8"),
        "embed": random.standard_normal((9, 8)).astype("<f4"),
        "layers.0": random.standard_normal((9, 8)).astype("<f4"),
        "tiny": np.array([1.5], dtype="<f4"),
        "scalar": np.array(2.5, dtype="<f8"),
    }
    dtypes = {"int64": "I64", "float32": "F32", "float64": "F64", "uint8": "U8"}

    def row(name: str, array: np.ndarray, start: int, stop: int, **other) -> dict:
        part = array[start:stop] if array.ndim else array
        layer = 0 if name.startswith("layers.") else None
        return {
            "name": name, "kind": "hidden", "layer": layer, "module": f"model.{name}" if layer == 0 else None,
            "sample": 0, "step": 0, "repeat": 0, "rank": 0, "dtype": dtypes[str(array.dtype)],
            "shape": list(array.shape), "start": start, "encoding": "dense", "data": part.tobytes(),
            "stats": STATS if layer == 0 and start == 0 else None,
            **other,
        }  # fmt: skip

    result = []
    for name, array in tensors.items():
        cuts = [0, 4, 8, 9] if name == "layers.0" else [0, len(array) if array.ndim else 1]
        result += [row(name, array, a, b) for a, b in itertools.pairwise(cuts)]
    end = np.frombuffer(json.dumps({"complete": True}).encode(), "u1")
    return [*result, row("run.end", end, 0, len(end), kind="meta", sample=-1)]


def expected() -> dict[str, str]:
    """SHA-256 of each tensor's bytes."""
    hashes: dict[str, hashlib._Hash] = {}
    for row in rows()[:-1]:
        hashes.setdefault(row["name"], hashlib.sha256()).update(row["data"])
    return {name: digest.hexdigest() for name, digest in hashes.items()}


def write(path: pathlib.Path, table: pa.Table, batch: int | None = None, **options) -> None:
    with ipc.new_file(path, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=batch)


def cast(table: pa.Table, **types: pa.DataType) -> pa.Table:
    """`table` with columns of other types, nullable, the metadata kept."""
    for name, to in types.items():
        index = table.schema.get_field_index(name)
        column = table.column(name).cast(to)
        table = table.set_column(index, pa.field(name, to), column)
    return table.replace_schema_metadata(METADATA)


def main(folder: pathlib.Path) -> None:
    table = pa.Table.from_pylist(rows(), schema=SCHEMA)
    text = ("name", "kind", "module", "dtype", "encoding")
    write(folder / "pyarrow.arrow", table)
    write(folder / "pyarrow-one-row-batches.arrow", table, 1)
    write(folder / "pyarrow-v4.arrow", table, metadata_version=ipc.MetadataVersion.V4)
    write(
        folder / "pyarrow-large.arrow",
        cast(table, shape=pa.large_list(pa.int64()), **dict.fromkeys(text, pa.large_utf8())),
    )
    write(
        folder / "pyarrow-small.arrow",
        cast(table, data=pa.binary(), sample=pa.int8(), step=pa.uint64(), layer=pa.int16(), start=pa.uint32()),
    )
    write(
        folder / "pyarrow-views.arrow", cast(table, data=pa.binary_view(), **dict.fromkeys(text, pa.string_view())), 3
    )

    # Slices keep their offsets into larger buffers.
    twice = pa.concat_tables([table, table]).combine_chunks()
    write(folder / "pyarrow-sliced.arrow", twice.slice(table.num_rows))
    with ipc.new_file(folder / "pyarrow-empty-batches.arrow", SCHEMA) as writer:
        for batch in table.to_batches(max_chunksize=4):
            writer.write_batch(batch.slice(0, 0))
            writer.write_batch(batch)
        writer.write_batch(batch.slice(0, 0))

    # Columns that no contract knows, of types that need steps of every kind.
    count = table.num_rows
    unknown = {
        "run_ends": pa.RunEndEncodedArray.from_arrays(pa.array([2, count], pa.int32()), pa.array(["a", "b"])),
        "list_view": pa.array([[i] * i for i in range(count)], pa.list_view(pa.int8())),
        "large_list_view": pa.array([[i] for i in range(count)], pa.large_list_view(pa.int8())),
        "dense_union": pa.UnionArray.from_dense(
            pa.array([0, 1] * (count // 2) + [0] * (count % 2), pa.int8()),
            pa.array([i // 2 for i in range(count)], pa.int32()),
            [pa.array(range(count)), pa.array(["x"] * count)],
        ),
        "sparse_union": pa.UnionArray.from_sparse(
            pa.array([0] * count, pa.int8()), [pa.array(range(count)), pa.nulls(count)]
        ),
        "decimal": pa.array([None] * count, pa.decimal256(50, 3)),
        "interval": pa.array([(1, 2, 3)] * count, pa.month_day_nano_interval()),
        "fixed": pa.array([b"abc"] * count, pa.binary(3)),
        "map": pa.array([[("k", i)] for i in range(count)], pa.map_(pa.utf8(), pa.int32())),
        "dictionary": pa.array(["a", None] * (count // 2) + ["b"] * (count % 2)).dictionary_encode(),
        "nested": pa.array(
            [{"a": [{"b": "long enough to leave its view"}]}] * count,
            pa.struct([("a", pa.list_(pa.struct([("b", pa.string_view())])))]),
        ),
        "half": pa.array([np.float16(1)] * count, pa.float16()),
        "time": pa.array([1] * count, pa.time64("ns")),
        "nothing": pa.nulls(count),
    }
    contract = {name: table.column(name) for name in table.schema.names}
    simple = {
        name: column for name, column in unknown.items() if name not in ("run_ends", "dense_union", "sparse_union")
    }
    for name, columns in {"unknown": unknown, "nested": simple}.items():
        strange = pa.table({**columns, **contract}).replace_schema_metadata(METADATA)
        write(folder / f"pyarrow-{name}-columns.arrow", strange, 3)

    # A dictionary that grows: what each batch adds to it comes before the batch.
    tagged = pa.schema([*SCHEMA, pa.field("tag", pa.dictionary(pa.int8(), pa.utf8()))], metadata=METADATA)
    options = ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with ipc.new_file(folder / "pyarrow-deltas.arrow", tagged, options=options) as writer:
        for number, batch in enumerate(table.to_batches(max_chunksize=3)):
            tags = pa.DictionaryArray.from_arrays(
                pa.array([number] * batch.num_rows, pa.int8()), list("abcdefg"[: number + 1])
            )
            writer.write_batch(pa.record_batch([*batch.columns, tags], schema=tagged))

    frame = pl.DataFrame(
        rows(), schema={field.name: dtype for field, dtype in zip(SCHEMA, pl.from_arrow(table).dtypes, strict=True)}
    )
    for name, level in {"polars-views": True, "polars-large": False}.items():
        frame.write_ipc(
            folder / f"{name}.arrow",
            compression="uncompressed",
            compat_level=pl.CompatLevel.newest() if level else pl.CompatLevel.oldest(),
        )
        with_metadata(folder / f"{name}.arrow")

    duckdb.register("dump", table)
    arrow = duckdb.sql("SELECT * FROM dump").to_arrow_table()
    write(folder / "duckdb.arrow", arrow.replace_schema_metadata(METADATA))

    refused = folder / "refused"
    refused.mkdir()
    write(refused / "lz4.arrow", table, compression="lz4")
    write(refused / "zstd.arrow", table, compression="zstd")
    write(refused / "dictionary.arrow", cast(table, name=pa.dictionary(pa.int32(), pa.utf8())))
    write(
        refused / "nulls.arrow",
        pa.Table.from_pylist(
            [{**row, "sample": None} for row in rows()], schema=SCHEMA.set(4, pa.field("sample", pa.int32()))
        ),
    )
    with ipc.new_stream(refused / "stream.arrow", SCHEMA) as writer:
        writer.write_table(table)
    (folder / "expected.json").write_text(json.dumps(expected()))


def with_metadata(path: pathlib.Path) -> None:
    """Puts the metadata into the footer of a file whose writer cannot: batches stay as they are."""
    source = path.read_bytes()
    reader = ipc.open_file(path)
    schema = reader.schema.with_metadata(METADATA)
    # The footer of an empty file of that schema, with the blocks of the file.
    sink = pa.BufferOutputStream()
    with ipc.new_file(sink, schema):
        pass
    empty = sink.getvalue().to_pybytes()
    path.write_bytes(graft(source, empty))


def graft(source: bytes, empty: bytes) -> bytes:
    """`source` with the footer's schema of `empty`."""

    def footer(data: bytes) -> tuple[int, bytes]:
        size = int.from_bytes(data[-10:-6], "little")
        return len(data) - 10 - size, data[-10 - size : -10]

    start, old = footer(source)
    _, new = footer(empty)

    def field(buffer: bytes, number: int) -> int:
        table = int.from_bytes(buffer[:4], "little")
        vtable = table - int.from_bytes(buffer[table : table + 4], "little", signed=True)
        offset = int.from_bytes(buffer[vtable + 4 + 2 * number : vtable + 6 + 2 * number], "little")
        return table + offset

    def follow(buffer: bytes, at: int) -> int:
        return at + int.from_bytes(buffer[at : at + 4], "little")

    blocks = follow(old, field(old, 3))
    count = int.from_bytes(old[blocks : blocks + 4], "little")
    grafted = bytearray(new)
    # A vector's structs lie at a multiple of 8.
    grafted += bytes((4 - len(grafted)) % 8)
    at = field(new, 3)
    grafted[at : at + 4] = (len(grafted) - at).to_bytes(4, "little")
    grafted += old[blocks : blocks + 4 + 24 * count]
    return source[:start] + bytes(grafted) + len(grafted).to_bytes(4, "little") + b"ARROW1"


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

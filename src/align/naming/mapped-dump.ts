/** A dump whose tensors have other names, or are made of others. Nothing is copied. */

import { DTYPES } from "../../core/dtype.ts";
import { NpuDiffError } from "../../core/errors.ts";
import { Assembly } from "../../dump/assembly.ts";
import { tensorName } from "../../dump/contract.ts";
import type { Dump, FileRange, Located, RunMetadata, TensorEntry } from "../../dump/dump.ts";
import { END_TO_END } from "../../dump/join.ts";
import { isJsonObject } from "../../dump/json.ts";
import { selectOf } from "../selection.ts";

/** How one name of a dump comes about. */
export interface Renaming {
  readonly name: string;
  /** Names in the dump, one unless they are joined. */
  readonly from: readonly string[];
  /** The tensor as it is, several beside each other along an axis, or a range of one. Null is the last axis. */
  readonly how:
    | { readonly kind: "same" }
    | { readonly kind: "concat"; readonly axis: number | null }
    | {
        readonly kind: "slice";
        readonly axis: number | null;
        readonly start: number;
        readonly length: number;
      };
  /** Who says so, for error messages: `map.yaml:3`. */
  readonly at: string;
}

/**
 * `dump` with `renamings` done. Names that are taken from are gone from it; no two renamings make one name.
 *
 * @throws NpuDiffError `map-invalid` where tensors cannot be put together or parted as asked
 */
export function withNames(dump: Dump, renamings: readonly Renaming[]): Dump {
  return renamings.length === 0 ? dump : new MappedDump(dump, renamings);
}

/** The dump as its file has it. */
export function originalOf(dump: Dump): Dump {
  return dump instanceof MappedDump ? originalOf(dump.original) : dump;
}

/** Where the bytes of a tensor come from. */
interface Source {
  read(offset: number, target: Uint8Array): void;
  locate(offset: number, length: number): Located;
}

interface Made {
  readonly entry: TensorEntry;
  readonly source: Source;
}

class MappedDump implements Dump {
  readonly original: Dump;
  readonly file: string;
  readonly bytes: number;
  readonly run: RunMetadata;
  readonly end: Dump["end"];
  readonly repaired: boolean;
  readonly ranks: number;
  readonly tensors: readonly TensorEntry[];
  readonly #sources = new Map<string, Source>();

  constructor(original: Dump, renamings: readonly Renaming[]) {
    this.original = original;
    ({ file: this.file, bytes: this.bytes, end: this.end, repaired: this.repaired } = original);
    this.ranks = renamings.reduce((most, { from }) => Math.max(most, from.length), original.ranks);
    this.run = runOf(original, renamings);
    const wanted = new Set(renamings.flatMap(({ from }) => from));
    const byName = new Map<string, Map<string, TensorEntry>>();
    for (const entry of original.tensors) {
      if (!wanted.has(entry.name)) continue;
      const places = byName.get(entry.name);
      if (places === undefined) byName.set(entry.name, new Map([[placeKey(entry), entry]]));
      else places.set(placeKey(entry), entry);
    }
    // What is made of a tensor stands in its place.
    const inPlace = new Map<TensorEntry, TensorEntry[]>();
    for (const renaming of renamings) {
      const sources = renaming.from.map((name) => byName.get(name));
      for (const [place, first] of sources[0] ?? []) {
        const parts = sources.map((places, i) => {
          const part = places?.get(place);
          if (part === undefined) throw incomplete(original, renaming, first, renaming.from[i]);
          return part;
        });
        const { entry, source } = make(original, renaming, parts);
        this.#sources.set(keyOf(entry), source);
        inPlace.set(first, [...(inPlace.get(first) ?? []), entry]);
      }
    }
    this.tensors = original.tensors.flatMap((entry) =>
      wanted.has(entry.name) ? (inPlace.get(entry) ?? []) : [entry],
    );
  }

  read(entry: TensorEntry, offset: number, target: Uint8Array): void {
    const source = this.#sources.get(keyOf(entry));
    if (source === undefined) this.original.read(entry, offset, target);
    else source.read(offset, target);
  }

  locate(entry: TensorEntry, offset: number, length: number): Located {
    const source = this.#sources.get(keyOf(entry));
    return source === undefined
      ? this.original.locate(entry, offset, length)
      : source.locate(offset, length);
  }

  close(): void {
    this.original.close();
  }
}

function placeKey({ sample, step, repeat, rank }: TensorEntry): string {
  return `${sample},${step},${repeat},${rank}`;
}

/** Whoever asks for bytes may have copied the entry. */
function keyOf(entry: TensorEntry): string {
  return `${placeKey(entry)},${entry.name}`;
}

function incomplete(
  dump: Dump,
  renaming: Renaming,
  { name, sample, step }: TensorEntry,
  lacking = "",
): NpuDiffError {
  return unfit(dump, renaming, "one of the tensors to put together is not there", [
    `${name} of sample ${sample}, step ${step}`,
    `no ${lacking} there`,
  ]);
}

/** One tensor of a renaming. */
function make(dump: Dump, renaming: Renaming, parts: readonly TensorEntry[]): Made {
  const { name, how } = renaming;
  const [first] = parts as readonly [TensorEntry];
  const called = {
    name,
    layer: tensorName(name).layer ?? first.layer,
    module: first.module ?? first.name,
    rank: first.rank,
  };
  if (how.kind === "same") {
    return {
      entry: { ...first, ...called },
      source: {
        read: (offset, target) => {
          dump.read(first, offset, target);
        },
        locate: (offset, length) => dump.locate(first, offset, length),
      },
    };
  }
  for (const part of parts) {
    const isWhole =
      part.encoding === "dense" && dump.locate(part, 0, 0).join.kind === END_TO_END.kind;
    if (isWhole) continue;
    throw unfit(dump, renaming, "tensors that are not stored whole are neither joined nor parted", [
      `${part.name}: ${part.encoding === "dense" ? "put together from several ranks" : part.encoding}`,
      "a tensor stored whole in one file",
    ]);
  }
  const made =
    how.kind === "concat" ? concat(dump, renaming, how, parts) : slice(dump, renaming, how, first);
  return { entry: { ...made.entry, ...called }, source: made.source };
}

function concat(
  dump: Dump,
  renaming: Renaming,
  how: { readonly axis: number | null },
  parts: readonly TensorEntry[],
): Made {
  const [first] = parts as readonly [TensorEntry];
  const axis = how.axis ?? first.shape.length - 1;
  const frame = (entry: TensorEntry): string =>
    `${entry.dtype} [${entry.shape.map((length, i) => (i === axis ? "*" : length)).join(", ")}]`;
  const other = parts.find((part) => frame(part) !== frame(first) || axis >= part.shape.length);
  if (other !== undefined || axis < 0) {
    const shown = ({ name, dtype, shape }: TensorEntry): string =>
      `${name}: ${dtype} [${shape.join(", ")}]`;
    throw unfit(dump, renaming, `the tensors cannot be joined along axis ${axis}`, [
      shown(first),
      shown(other ?? first),
    ]);
  }
  const length = parts.reduce((sum, { shape }) => sum + (shape[axis] ?? 0), 0);
  const whole = first.shape.map((extent, i) => (i === axis ? length : extent));
  let start = 0;
  const slices = parts.map((entry) => {
    const own = entry.shape[axis] ?? 0;
    const part = { dump, entry: { ...entry, slice: { whole, axis, start, length: own } } };
    start += own;
    return part;
  });
  const [head, ...tail] = slices as [(typeof slices)[number], ...typeof slices];
  const assembly = Assembly.ofSlices([head, ...tail]);
  return { entry: assembly.entry, source: assembly };
}

function slice(
  dump: Dump,
  renaming: Renaming,
  how: { readonly axis: number | null; readonly start: number; readonly length: number },
  entry: TensorEntry,
): Made {
  const { shape } = entry;
  const axis = how.axis ?? shape.length - 1;
  const extent = shape[axis] ?? 0;
  const between = shape.slice(1, axis).reduce((product, one) => product * one, 1);
  if (axis < 1 || axis >= shape.length || how.start + how.length > extent || between !== 1) {
    throw unfit(
      dump,
      renaming,
      `${how.length} from ${how.start} on along axis ${axis} are no part of each token's`,
      [
        `${entry.name} [${shape.join(", ")}]`,
        "the first axis after that of the tokens, and a range inside it",
      ],
    );
  }
  const inner = shape
    .slice(axis + 1)
    .reduce((product, one) => product * one, DTYPES[entry.dtype].bytes);
  const [skip, used, stored] = [how.start * inner, how.length * inner, extent * inner];
  const own = shape.map((one, i) => (i === axis ? how.length : one));
  const elements = own.reduce((product, one) => product * one, 1);
  return {
    entry: { ...entry, shape: own, elements, stats: null, chunks: [] },
    source: {
      read: (offset, target) => {
        for (const { row, from, bytes, at } of stretches(offset, target.length, used)) {
          dump.read(entry, row * stored + skip + from, target.subarray(at, at + bytes));
        }
      },
      locate: (offset, length) => {
        const ranges: FileRange[] = [];
        for (const { row, from, bytes } of stretches(offset, length, used)) {
          const { strands } = dump.locate(entry, row * stored + skip + from, bytes);
          ranges.push(...strands.flat());
        }
        return { join: END_TO_END, strands: [ranges] };
      },
    },
  };
}

/** Bytes `offset … offset+length` of rows of `rowBytes` bytes, row by row; `at` counts from `offset`. */
function* stretches(
  offset: number,
  length: number,
  rowBytes: number,
): Generator<{ row: number; from: number; bytes: number; at: number }, void, undefined> {
  for (let at = 0; at < length; ) {
    const row = Math.floor((offset + at) / rowBytes);
    const from = offset + at - row * rowBytes;
    const bytes = Math.min(length - at, rowBytes - from);
    yield { row, from, bytes, at };
    at += bytes;
  }
}

/** The run, whose `capture.select` names what is there now. */
function runOf(dump: Dump, renamings: readonly Renaming[]): RunMetadata {
  const { capture } = dump.run;
  const select = selectOf(dump);
  if (select === null || !isJsonObject(capture) || !Array.isArray(capture["select"]))
    return dump.run;
  const gone = new Set<unknown>(renamings.flatMap(({ from }) => from));
  const meant = renamings.filter(({ from }) => from.some((name) => select.covers(name)));
  const kept: readonly unknown[] = capture["select"].filter((glob) => !gone.has(glob));
  return {
    ...dump.run,
    capture: { ...capture, select: [...kept, ...meant.map(({ name }) => name)] },
  };
}

function unfit(
  dump: Dump,
  { name, at }: Renaming,
  what: string,
  [found, expected]: readonly [string, string],
): NpuDiffError {
  return new NpuDiffError("map-invalid", {
    what: `${at}: ${what}`,
    facts: [
      { label: "dump", text: dump.file },
      { label: "name", text: name },
      { label: "found", text: found },
      { label: "and", text: expected },
    ],
    help: `change the rule at ${at}; npu-diff inspect shows the names and shapes of a dump`,
  });
}

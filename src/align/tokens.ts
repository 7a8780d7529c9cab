/**
 * The token ids that both sides were fed with. Everything else is comparable
 * only where these agree.
 */

import { createHash } from "node:crypto";
import { counted } from "../core/counted.ts";
import { DTYPES, isFloatDType } from "../core/dtype.ts";
import { type ErrorCode, type ErrorFact, NpuDiffError } from "../core/errors.ts";
import { readIntegers } from "../dump/decode.ts";
import type { Dump, TensorEntry } from "../dump/dump.ts";
import { isImported } from "../dump/metadata.ts";
import { isJudged } from "./align.ts";

/** Ids that are in memory at a time. */
const IDS_AT_ONCE = 2 ** 16;

/** Where a sample's ids lie: by sample and step. */
export type TokenTable = ReadonlyMap<string, TensorEntry>;

/** What a comparison knows of its input. */
export interface Tokens {
  /** `input_ids` of the reference; empty where neither side stored ids. */
  readonly table: TokenTable;
  readonly samples: number;
  readonly tokens: number;
  readonly sha256: string | null;
  /** Whether both sides told their ids, and they agree. */
  readonly verified: boolean;
}

export function tokenKey(sample: number, step: number): string {
  return `${String(sample)}.${String(step)}`;
}

/** The tensors of `dump` named `name`, by sample and step; repetitions and ranks beyond the first hold the same ids. */
export function tokenTable(dump: Dump, name: string): TokenTable {
  const table = new Map<string, TensorEntry>();
  for (const entry of dump.tensors) {
    if (entry.name !== name || entry.repeat !== 0) continue;
    const key = tokenKey(entry.sample, entry.step);
    const known = table.get(key);
    if (known === undefined || entry.rank < known.rank) table.set(key, entry);
  }
  return table;
}

/** Ids `from … from+count` of `entry`. */
export function readIds(dump: Dump, entry: TensorEntry, from: number, count: number): Float64Array {
  if (entry.encoding !== "dense" || isFloatDType(entry.dtype)) {
    throw new NpuDiffError("dump-corrupt", {
      what: `${dump.file}: ${entry.name} of sample ${String(entry.sample)} holds no token ids`,
      facts: [
        { label: "found", text: `${entry.encoding} ${entry.dtype}` },
        { label: "expected", text: "dense integers" },
      ],
      help: "capture the dump again; ids cannot be reduced",
    });
  }
  const size = DTYPES[entry.dtype].bytes;
  const bytes = new Uint8Array(count * size);
  dump.read(entry, from * size, bytes);
  return readIntegers(entry.dtype, bytes);
}

/** SHA-256 over T and the ids of each sample in turn, as little-endian int64; null where there are none. */
export function tokensSha256(dump: Dump, table: TokenTable): string | null {
  if (table.size === 0) return null;
  const hash = createHash("sha256");
  const entries = [...table.values()].sort((a, b) => a.sample - b.sample || a.step - b.step);
  for (const entry of entries) {
    hash.update(new BigInt64Array([BigInt(entry.elements)]));
    for (let from = 0; from < entry.elements; from += IDS_AT_ONCE) {
      const ids = readIds(dump, entry, from, Math.min(IDS_AT_ONCE, entry.elements - from));
      hash.update(BigInt64Array.from(ids, BigInt));
    }
  }
  return hash.digest("hex");
}

/** What a dump is to the reference that it is checked against. */
export type OtherSide = "candidate" | "floor" | "forced";

/** The error of a dump that was fed with something else than the reference. */
export const UNLIKE_REFERENCE: Readonly<Record<OtherSide, ErrorCode>> = {
  candidate: "tokens-differ",
  floor: "floor-incompatible",
  forced: "forced-incompatible",
};

/**
 * Checks that both dumps were fed with the same ids: every sample, and every
 * decode step that both ran. A step that one side did not run at all is for
 * whoever looks for missing tensors; tensors of a step whose ids are not there
 * cannot be compared with anything.
 *
 * @throws NpuDiffError the code of {@link UNLIKE_REFERENCE}.
 */
export function checkTokens(reference: Dump, other: Dump, otherLabel: OtherSide): Tokens {
  const mine = tokenTable(reference, "input_ids");
  const theirs = tokenTable(other, "input_ids");
  const [mySteps, theirSteps] = [decodeSteps(reference), decodeSteps(other)];
  // Other tools' files may hold no ids at all: nothing to check, which the report says.
  const untold = (dump: Dump, table: TokenTable): boolean =>
    isImported(dump.run) && table.size === 0;
  const verified =
    mine.size + theirs.size > 0 && !untold(reference, mine) && !untold(other, theirs);
  const known = verified ? [...mine.keys(), ...theirs.keys()] : [];
  // Without any ids nothing can be checked, which the report says.
  const keys = known.length === 0 ? known : [...known, ...mySteps, ...theirSteps];
  for (const key of new Set(keys)) {
    const a = mine.get(key);
    const b = theirs.get(key);
    if (a === undefined && isUnrun(key, mySteps) && b !== undefined) continue;
    if (b === undefined && isUnrun(key, theirSteps) && a !== undefined) continue;
    const difference =
      a === undefined || b === undefined ? -1 : firstDifference(reference, a, other, b);
    if (difference === null) continue;
    const repaired = [reference, other].find((dump) => dump.repaired);
    const isCut = repaired !== undefined && (a === undefined || b === undefined);
    throw new NpuDiffError(UNLIKE_REFERENCE[otherLabel], {
      what: isCut
        ? `${repaired.file} was put together by repair, and lacks samples of the other side`
        : "the dumps were made from different token ids",
      facts: [
        describe("reference", reference, key, a, difference),
        describe(otherLabel, other, key, b, difference),
      ],
      help: isCut
        ? "capture it again, or capture the other side of the samples that are left (npu-dump run --limit)"
        : `capture the ${otherLabel === "forced" ? "dump that it replays" : otherLabel} with --tokens-from ${reference.file}`,
    });
  }
  const entries = [...mine.values()];
  return {
    table: mine,
    samples: new Set(entries.map((entry) => entry.sample)).size,
    tokens: entries.reduce((total, entry) => total + entry.elements, 0),
    sha256: tokensSha256(reference, mine),
    verified,
  };
}

/** Samples and steps of the judged tensors that `dump` holds beyond its prompts. */
function decodeSteps(dump: Dump): ReadonlySet<string> {
  const steps = new Set<string>();
  for (const entry of dump.tensors) {
    if (entry.step > 0 && isJudged(entry)) steps.add(tokenKey(entry.sample, entry.step));
  }
  return steps;
}

/** Whether `key` is a decode step of which a dump with tensors at `steps` holds nothing. */
function isUnrun(key: string, steps: ReadonlySet<string>): boolean {
  return !key.endsWith(".0") && !steps.has(key);
}

/** Index of the first id that differs, the shorter length where one side ends early, null where none does. */
export function firstDifference(
  reference: Dump,
  a: TensorEntry,
  other: Dump,
  b: TensorEntry,
): number | null {
  const common = Math.min(a.elements, b.elements);
  for (let from = 0; from < common; from += IDS_AT_ONCE) {
    const count = Math.min(IDS_AT_ONCE, common - from);
    const mine = readIds(reference, a, from, count);
    const theirs = readIds(other, b, from, count);
    const at = mine.findIndex((id, index) => id !== theirs[index]);
    if (at !== -1) return from + at;
  }
  return a.elements === b.elements ? null : common;
}

function describe(
  label: string,
  dump: Dump,
  key: string,
  entry: TensorEntry | undefined,
  difference: number,
): ErrorFact {
  const [sample = "", step = "0"] = key.split(".");
  const where = step === "0" ? `sample ${sample}` : `sample ${sample}, step ${step}`;
  if (entry === undefined) return { label, text: `${dump.file}   ${where}: no input_ids` };
  const length = `${dump.file}   ${where}: ${counted(entry.elements, "token")}`;
  if (difference < 0) return { label, text: length };
  if (difference >= entry.elements) {
    return { label, text: `${length}, ends before token ${String(difference)}` };
  }
  const id = readIds(dump, entry, difference, 1)[0] ?? Number.NaN;
  // Texts are stored of the prompts alone.
  const text = entry.step === 0 ? tokenText(dump, entry.sample, difference) : "";
  return {
    label,
    text: `${length}, first difference at token ${String(difference)}: ${String(id)}${text}`,
  };
}

/** Longest `token_text` that an error message reads. */
const MAX_TOKEN_TEXT_BYTES = 2 ** 22;

/** ` "text"` of one token where the dump stored it; empty where not. */
function tokenText(dump: Dump, sample: number, token: number): string {
  const entry = dump.tensors.find(
    (candidate) => candidate.name === "token_text" && candidate.sample === sample,
  );
  if (entry?.encoding !== "dense" || entry.elements > MAX_TOKEN_TEXT_BYTES) return "";
  const bytes = new Uint8Array(entry.elements * DTYPES[entry.dtype].bytes);
  dump.read(entry, 0, bytes);
  try {
    const texts: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    const text: unknown = Array.isArray(texts) ? texts[token] : undefined;
    return typeof text === "string" ? ` ${JSON.stringify(text)}` : "";
  } catch {
    // The text only decorates a message; whatever is wrong with it is not what failed.
    return "";
  }
}

/**
 * Brings whole logits to the rows that the other side holds: a file of
 * llama.cpp's has those of the second half of each sample alone.
 */

import { DTYPES } from "../core/dtype.ts";
import type { Dump, Located, TensorEntry } from "../dump/dump.ts";
import { type ScoredLogits, scoredLogits } from "../dump/scored-logits.ts";
import type { Unit } from "./align.ts";

/** The two sides of a comparison. */
interface Pair {
  readonly reference: Dump;
  readonly candidate: Dump;
}

/** Which rows of the logits of the prompts a comparison is about; null where it is about all. */
export function scoredOf({ reference, candidate }: Pair): ScoredLogits | null {
  return scoredLogits(reference.run) ?? scoredLogits(candidate.run);
}

/** Both sides with the rows that both hold. */
export function atScoredRows<T extends Pair>(pair: T): T {
  const scored = scoredOf(pair);
  return {
    ...pair,
    reference: onScoredRows(pair.reference, scored),
    candidate: onScoredRows(pair.candidate, scored),
  };
}

/** `dump` with the scored rows of its logits alone; itself where there are no others, or `scored` is null. */
export function onScoredRows(dump: Dump, scored: ScoredLogits | null): Dump {
  return scored === null || scoredLogits(dump.run) !== null ? dump : new ScoredDump(dump, scored);
}

/**
 * Whether a unit holds log-probabilities of few bits on a side, which cannot be judged as a tensor: raw logits differ
 * from them by a constant in every row, and they differ from themselves by a rounding of no float dtype. What the
 * model says, a softmax, is the same of both.
 */
export function isScored(unit: Unit, scored: ScoredLogits | null): boolean {
  const { role, group, shapeConflict } = unit;
  return scored !== null && role === "logits" && group === "prefill" && shapeConflict === null;
}

/** A part of the rows of a tensor. */
interface Part {
  readonly whole: TensorEntry;
  /** Bytes before it. */
  readonly skipped: number;
}

class ScoredDump implements Dump {
  readonly file: string;
  readonly bytes: number;
  readonly run: Dump["run"];
  readonly end: Dump["end"];
  readonly repaired: boolean;
  readonly ranks: number;
  readonly tensors: readonly TensorEntry[];
  readonly #dump: Dump;
  readonly #parts = new Map<string, Part>();

  constructor(dump: Dump, scored: ScoredLogits) {
    this.#dump = dump;
    this.file = dump.file;
    this.bytes = dump.bytes;
    this.run = dump.run;
    this.end = dump.end;
    this.repaired = dump.repaired;
    this.ranks = dump.ranks;
    this.tensors = dump.tensors.map((entry) => this.#partOf(entry, scored));
  }

  read(entry: TensorEntry, offset: number, target: Uint8Array): void {
    const { whole, skipped } = this.#wholeOf(entry);
    this.#dump.read(whole, skipped + offset, target);
  }

  locate(entry: TensorEntry, offset: number, length: number): Located {
    const { whole, skipped } = this.#wholeOf(entry);
    return this.#dump.locate(whole, skipped + offset, length);
  }

  close(): void {
    this.#dump.close();
  }

  #partOf(entry: TensorEntry, { firstToken, rows }: ScoredLogits): TensorEntry {
    const [tokens = 0, ...rest] = entry.shape;
    const isWhole = tokens === firstToken + rows + 1 && entry.encoding === "dense";
    if (entry.name !== "logits" || entry.step !== 0 || !isWhole) return entry;
    const width = entry.elements / tokens;
    const skipped = firstToken * width * DTYPES[entry.dtype].bytes;
    this.#parts.set(keyOf(entry), { whole: entry, skipped });
    return { ...entry, shape: [rows, ...rest], elements: rows * width, chunks: [], stats: null };
  }

  #wholeOf(entry: TensorEntry): Part {
    return this.#parts.get(keyOf(entry)) ?? { whole: entry, skipped: 0 };
  }
}

/** Stages copy entries: what tells them apart is their place. */
function keyOf({ name, sample, step, repeat, rank }: TensorEntry): string {
  return `${sample}.${step}.${repeat}.${rank}.${name}`;
}

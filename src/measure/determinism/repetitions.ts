/** The repetitions that a dump holds, and how each was fed. */

import { firstDifference, type TokenTable, tokenTable } from "../../align/tokens.ts";
import { counted } from "../../core/counted.ts";
import { NpuDiffError } from "../../core/errors.ts";
import type { Dump, TensorEntry } from "../../dump/dump.ts";
import { isJsonObject } from "../../dump/json.ts";
import { Continuations } from "../generation/continuations.ts";

/** More repetitions tell nothing more, and each is looked up in what it is compared with. */
const MAX_REPETITIONS = 1000;

/** One repetition; what several comparisons ask of it is made once. */
export class Repetition {
  /** 0: the run itself. */
  readonly number: number;
  /** What the dump holds of it, as a dump of its own. */
  readonly dump: Dump;
  /** Equal for two repetitions in the same batches and order; null where the dump does not say. */
  readonly fed: string | null;
  private own: Continuations | null = null;
  private readonly tables = new Map<string, TokenTable>();

  constructor(number: number, dump: Dump, fed: string | null) {
    this.number = number;
    this.dump = dump;
    this.fed = fed;
  }

  get continuations(): Continuations {
    this.own ??= new Continuations(this.dump);
    return this.own;
  }

  /** The tensors named `name`, by sample and step. */
  table(name: string): TokenTable {
    let table = this.tables.get(name);
    if (table === undefined) {
      table = tokenTable(this.dump, name);
      this.tables.set(name, table);
    }
    return table;
  }
}

/**
 * The repetitions of `dump` in their order; the run itself alone where nothing is
 * repeated.
 *
 * @returns null where they are not those from 0 on, or not as many as the metadata promise.
 * @throws NpuDiffError `dump-too-large` beyond a thousand.
 */
export function repetitionsOf(dump: Dump): readonly Repetition[] | null {
  const entries = new Map<number, TensorEntry[]>([[0, []]]);
  for (const entry of dump.tensors) {
    const known = entries.get(entry.repeat);
    if (known === undefined) entries.set(entry.repeat, [entry]);
    else known.push(entry);
  }
  if (entries.size > MAX_REPETITIONS) throw tooMany(dump, entries.size);
  const { repeats, schedule } = plan(dump);
  // The numbers come out of a file: they are counted, never counted up to.
  const numbers = [...entries.keys()].sort((a, b) => a - b);
  const isWhole = numbers.every((number, index) => number === index);
  if (!isWhole || (repeats !== null && repeats !== numbers.length)) return null;
  if (numbers.length === 1) return [new Repetition(0, dump, null)];
  return numbers.map((number) => {
    const fed = schedule?.length === numbers.length ? (schedule[number] ?? null) : null;
    return new Repetition(number, viewOf(dump, entries.get(number) ?? []), fed);
  });
}

/**
 * Checks that a repetition was fed with the prompts of the run itself, as far as
 * it stores what it was fed with.
 *
 * @throws NpuDiffError `tokens-differ`.
 */
export function checkSamePrompts(run: Repetition, repetition: Repetition): void {
  for (const name of ["input_ids", "prompt"]) {
    const own = run.table(name);
    for (const [key, entry] of repetition.table(name)) {
      if (entry.step !== 0 || entry.sample < 0) continue;
      const first = own.get(key);
      const at =
        first === undefined ? -1 : firstDifference(run.dump, first, repetition.dump, entry);
      if (at === null) continue;
      throw new NpuDiffError("tokens-differ", {
        what: `${run.dump.file}: repetition ${String(repetition.number)} was not fed with the prompts of the run itself`,
        facts: [
          { label: "the run", text: described(name, first, at) },
          { label: "repetition", text: described(name, entry, at) },
        ],
        help: "capture the dump again; a repetition is another run on the same prompts",
      });
    }
  }
}

function tooMany({ file }: Dump, repetitions: number): NpuDiffError {
  return new NpuDiffError("dump-too-large", {
    what: `${file} holds more repetitions of its run than are compared`,
    facts: [
      { label: "found", text: counted(repetitions, "repetition") },
      { label: "expected", text: `at most ${String(MAX_REPETITIONS)}` },
    ],
    help: "capture it again with fewer --repeats",
  });
}

function described(name: string, entry: TensorEntry | undefined, at: number): string {
  if (entry === undefined) return `no ${name} of that prompt`;
  const length = `${name} of sample ${String(entry.sample)}: ${counted(entry.elements, "element")}`;
  return at < 0 ? length : `${length}, first difference at ${String(at)}`;
}

/** What the metadata say: how many repetitions, and how each was fed. Whatever is not as it should be says nothing. */
function plan({ run }: Dump): {
  readonly repeats: number | null;
  readonly schedule: readonly string[] | null;
} {
  const told = run["determinism"];
  if (!isJsonObject(told)) return { repeats: null, schedule: null };
  const { repeats, schedule } = told;
  return {
    repeats: typeof repeats === "number" ? repeats : null,
    schedule: Array.isArray(schedule) ? allOf(schedule.map(fedOf)) : null,
  };
}

/** Null where one of them is. */
function allOf(told: readonly (string | null)[]): readonly string[] | null {
  const known = told.filter((one) => one !== null);
  return known.length === told.length ? known : null;
}

function fedOf(told: unknown): string | null {
  if (!isJsonObject(told)) return null;
  // Through a server it is how many prompts were asked about at a time: its batches are its own affair.
  const { batch = told["concurrency"], order } = told;
  return typeof batch === "number" && typeof order === "string" ? `${batch} ${order}` : null;
}

/** A dump of one repetition: every stage reads it as it reads a run that was not repeated. */
function viewOf(dump: Dump, entries: readonly TensorEntry[]): Dump {
  const originals = new Map(entries.map((entry) => [{ ...entry, repeat: 0 }, entry]));
  const original = (entry: TensorEntry): TensorEntry => originals.get(entry) ?? entry;
  return {
    file: dump.file,
    bytes: dump.bytes,
    run: dump.run,
    end: dump.end,
    repaired: dump.repaired,
    ranks: dump.ranks,
    tensors: [...originals.keys()],
    read: (entry, offset, target) => {
      dump.read(original(entry), offset, target);
    },
    locate: (entry, offset, length) => dump.locate(original(entry), offset, length),
    // Whoever opened the dump closes it.
    close: () => undefined,
  };
}

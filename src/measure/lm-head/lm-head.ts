/** `--lm-head`: logits for the dumps that hold none, from their `norm` and the weights of the head. */

import { extentOf } from "../../align/shapes.ts";
import { DTYPES, type FloatDType, isFloatDType } from "../../core/dtype.ts";
import { isReducedLogits } from "../../dump/contract.ts";
import type { Dump, TensorEntry } from "../../dump/dump.ts";
import { headError } from "../../dump/lm-head/find-head.ts";
import { HeadWeights } from "../../dump/lm-head/head-weights.ts";
import { requireRoom } from "../../dump/lm-head/room.ts";
import type { ScoredLogits } from "../../dump/scored-logits.ts";
import { Spool } from "../../dump/spool.ts";
import { relativeError } from "./final-norm.ts";
import { HeadDump, type HeadRows, logitsEntries, rowCount } from "./head-dump.ts";
import { loadProduct, type Product } from "./product.ts";
import { Projector, readRows } from "./project.ts";

/** What the reader should know of the head. */
export interface HeadFacts {
  /** The file that holds the weight, and the weight's name and dtype. */
  readonly file: string;
  readonly weight: string;
  readonly dtype: FloatDType;
  readonly vocabulary: number;
  /** Rows of the weight that are padding. */
  readonly padding: number;
  /** Whose logits are computed: of `both`, also the floors'; null where both sides store theirs. */
  readonly computed: "both" | "reference" | "candidate" | null;
  /** Floors without `norm`, whose logits do not count therefore. */
  readonly floorsWithout: readonly string[];
  /** The dump's `weights_sha256` and the file's, where they differ; `found` is null where it was not computed. */
  readonly otherWeights: { readonly expected: string; readonly found: string | null } | null;
  /** Whether logits that the reference stores, or the digest of its weights, show that the head is the model's. */
  readonly checked: boolean;
}

/** Stored logits that the head is held to. */
const CHECKED_ROWS = 16;

/**
 * Error that is allowed between computed and stored: so many times the unit of the coarsest format in it, and what
 * engines lose that multiply float32 in TF32 or HF32. A forgotten factor is far beyond it.
 */
const TOLERANCE = { units: 8, least: 2e-3 };

export class LmHead {
  readonly weights: HeadWeights;
  readonly projector: Projector;
  readonly #product: Product;
  readonly #path: string;
  readonly #computed: HeadFacts["computed"];
  readonly #scored: ScoredLogits | null;
  /** The digest of the weights that the dumps tell, and that of the file; null where they tell none. */
  readonly #digests: { readonly expected: string; readonly found: string | null } | null;
  #fitsStored = false;
  /** Of each wrapped dump what its logits are made of. */
  readonly #pending = new Map<
    Dump,
    { readonly rows: readonly HeadRows[]; readonly spool: Spool }
  >();
  readonly #spools: Spool[] = [];
  readonly #floorsWithout: string[] = [];

  private constructor(
    path: string,
    weights: HeadWeights,
    product: Product,
    computed: HeadFacts["computed"],
    dumps: readonly Dump[],
    scored: ScoredLogits | null,
  ) {
    this.#path = path;
    this.weights = weights;
    this.#product = product;
    this.projector = new Projector(weights, product);
    this.#computed = computed;
    this.#scored = scored;
    this.#digests = digestsOf(weights, dumps);
  }

  /**
   * Opens the weights at `path` for the two sides of a comparison, and holds them to what the reference stores.
   *
   * @param scored the rows of the prompts whose logits are computed; null for all.
   * @param threads that multiply.
   * @throws NpuDiffError `lm-head` where a side holds neither logits nor `norm`, or the weights are not those of
   *   the model; `package-missing`; those of the file
   */
  static async open(
    path: string,
    reference: Dump,
    candidate: Dump,
    scored: ScoredLogits | null,
    threads: number,
  ): Promise<LmHead> {
    const [norm] = [...normsOf(reference), ...normsOf(candidate)];
    const computed = whoseLogits(reference, candidate, path);
    if (norm === undefined) throw lacking("no norm on either side", path);
    const known = [reference, candidate].map(vocabularyOf).filter((size) => size !== null);
    const vocabulary = known.length === 0 ? null : Math.min(...known);
    const columns = columnsOf(reference) ?? columnsOf(candidate);
    const weights = HeadWeights.open(path, vocabulary, extentOf(norm.shape).width, columns);
    try {
      const product = await loadProduct(threads);
      const head = new LmHead(path, weights, product, computed, [reference, candidate], scored);
      head.#fitsStored = await head.#holdToStored(reference);
      return head;
    } catch (error) {
      weights.close();
      throw error;
    }
  }

  get facts(): HeadFacts {
    const { file, name, dtype, vocabulary, padding } = this.weights;
    const digests = this.#digests;
    const isSame = digests !== null && digests.found === digests.expected;
    return {
      file,
      weight: name,
      dtype,
      vocabulary,
      padding,
      computed: this.#computed,
      floorsWithout: this.#floorsWithout,
      otherWeights: isSame ? null : digests,
      checked: isSame || this.#fitsStored,
    };
  }

  /** A side, or a floor, with computed logits where it lacks them. */
  wrap(dump: Dump): Dump {
    // What is stored is what the engine answered: only that shows whether its own head is right.
    return this.#computed === null || holdsLogits(dump) ? dump : this.#computedOf(dump);
  }

  #computedOf(dump: Dump): Dump {
    const rows = normsOf(dump)
      .filter(({ shape }) => extentOf(shape).width === this.weights.width)
      .map((entry) => ({ entry, rows: scoredRows(entry, this.#scored) }));
    const spool = Spool.create();
    this.#spools.push(spool);
    const wrapped = new HeadDump(dump, logitsEntries(rows, this.weights.vocabulary, 0), spool);
    this.#pending.set(wrapped, { rows, spool });
    return wrapped;
  }

  /**
   * The same of a floor: it goes the candidate's way, whose rounding it stands for, and has no logits where it
   * cannot.
   */
  wrapFloor(dump: Dump): Dump {
    const isComputed = this.#computed === "both" || this.#computed === "candidate";
    const wrapped = isComputed ? this.#computedOf(dump) : this.wrap(dump);
    if (this.#pending.get(wrapped)?.rows.length === 0) this.#floorsWithout.push(dump.file);
    return wrapped;
  }

  /** A forced reference: of computed logits there is no own error, since no module of the engine made them. */
  wrapForced(dump: Dump): Dump {
    if (this.#computed === null) return dump;
    const spool = Spool.create();
    this.#spools.push(spool);
    return new HeadDump(dump, [], spool);
  }

  /**
   * Computes the logits of those of `dumps` that were wrapped.
   *
   * @throws NpuDiffError `output-unwritable` where the folder for temporary files has too little room
   */
  async compute(
    dumps: readonly Dump[],
    progress: (done: number, total: number) => void,
  ): Promise<void> {
    const wanted = dumps.flatMap((dump) => {
      const pending = this.#pending.get(dump);
      return pending === undefined ? [] : [{ dump, ...pending }];
    });
    const total = wanted.flatMap(({ rows }) => rows).reduce((sum, one) => sum + rowCount(one), 0);
    this.requireRoom(total);
    let done = 0;
    for (const { dump, rows, spool } of wanted) {
      await this.projector.project(dump, rows, null, spool, (count) => {
        done += count;
        progress(done, total);
      });
    }
  }

  /** @throws NpuDiffError `output-unwritable` where there is no room for so many rows of logits */
  requireRoom(rows: number): void {
    const bytes = rows * this.weights.vocabulary * Float32Array.BYTES_PER_ELEMENT;
    requireRoom(bytes, "the logits that are computed through the lm_head");
  }

  /** Refuses a head that does not give the logits that `dump` stores beside its `norm`; false where it stores none. */
  async #holdToStored(dump: Dump): Promise<boolean> {
    const norm = normsOf(dump).find(({ shape }) => (shape[0] ?? 0) > 0);
    const logits = dump.tensors.find(
      ({ name, repeat, sample, step, encoding, dtype, shape }) =>
        name === "logits" &&
        repeat === 0 &&
        sample === norm?.sample &&
        step === norm.step &&
        encoding === "dense" &&
        isFloatDType(dtype) &&
        shape[0] === norm.shape[0],
    );
    if (norm === undefined || logits === undefined) return false;
    const { vocabulary } = this.weights;
    const stored = extentOf(logits.shape).width;
    const both = Math.min(stored, vocabulary);
    const count = Math.min(CHECKED_ROWS, norm.shape[0] ?? 0);
    const rows = Array.from({ length: count }, (_, row) => row);
    const expected = new Float64Array(count * stored);
    readRows(dump, { entry: logits, rows }, 0, stored, expected);
    const spool = Spool.create();
    try {
      await this.projector.project(dump, [{ entry: norm, rows }], null, spool, () => undefined);
      const bytes = new Uint8Array(count * vocabulary * Float32Array.BYTES_PER_ELEMENT);
      spool.readInto(0, bytes);
      const all = new Float32Array(bytes.buffer);
      // What is not finite says nothing of the head, and is the comparison's to find.
      const pairs = Array.from({ length: count * both }, (_, i) => {
        const [row, column] = [Math.floor(i / both), i % both];
        return [
          all[row * vocabulary + column] as number,
          expected[row * stored + column] as number,
        ] as const;
      }).filter((pair) => pair.every(Number.isFinite));
      const computed = Float64Array.from(pairs, ([one]) => one);
      const shared = Float64Array.from(pairs, ([, one]) => one);
      const error = relativeError(computed, shared);
      const allowed = toleranceOf(dump, [norm, logits]);
      if (error <= allowed) return pairs.length > 0;
      throw headError(
        "the lm_head does not give the logits that the reference stores",
        this.#path,
        [
          {
            label: "found",
            text: `a relative L2 error of ${error.toPrecision(3)} in ${dump.file}`,
          },
          { label: "expected", text: `at most ${allowed.toPrecision(3)}` },
          { label: "weight", text: this.weights.name },
        ],
      );
    } finally {
      spool.close();
    }
  }

  async close(): Promise<void> {
    for (const spool of this.#spools) spool.close();
    this.weights.close();
    await this.#product.end();
  }
}

/** The rows of a prompt's `norm` whose logits the other side holds; null for all of them, as of a decode step. */
function scoredRows(
  { step, shape }: TensorEntry,
  scored: ScoredLogits | null,
): readonly number[] | null {
  if (scored === null || step !== 0 || shape[0] !== scored.firstToken + scored.rows + 1)
    return null;
  return Array.from({ length: scored.rows }, (_, row) => scored.firstToken + row);
}

/** Relative error that stored tensors of these formats may have to what is computed from one of them. */
export function toleranceOf(dump: Dump, entries: readonly TensorEntry[]): number {
  const units = [dump.run.dtype, ...entries.map(({ dtype }) => dtype)].map(
    (dtype) => DTYPES[dtype].u ?? 0,
  );
  return TOLERANCE.units * Math.max(...units) + TOLERANCE.least;
}

/** The whole `norm` tensors of `dump`: of all prompts and decode steps, of the first repetition. */
export function normsOf(dump: Dump): readonly TensorEntry[] {
  return dump.tensors.filter(
    ({ name, repeat, encoding, dtype }) =>
      name === "norm" && repeat === 0 && encoding === "dense" && isFloatDType(dtype),
  );
}

/** Whether a dump holds what its engine answered, whole or in a reduced form. */
function holdsLogits(dump: Dump): boolean {
  return dump.tensors.some(
    ({ name, repeat, encoding }) =>
      (name === "logits" || isReducedLogits(name)) && repeat === 0 && encoding === "dense",
  );
}

/** Which sides lack logits, and have the `norm` to compute them from. */
function whoseLogits(reference: Dump, candidate: Dump, path: string): HeadFacts["computed"] {
  const sides = { reference, candidate };
  const lackingSides = (["reference", "candidate"] as const).filter(
    (side) => !holdsLogits(sides[side]),
  );
  for (const side of lackingSides) {
    if (normsOf(sides[side]).length > 0) continue;
    throw lacking(`neither logits nor norm in ${sides[side].file}, the ${side}`, path);
  }
  return lackingSides.length === 2 ? "both" : (lackingSides[0] ?? null);
}

function lacking(found: string, path: string): Error {
  return headError(
    "there is nothing that the lm_head could make logits of",
    path,
    [
      { label: "found", text: found },
      { label: "expected", text: "norm, whole and of a floating-point dtype" },
    ],
    "capture norm too: npu-dump run --select norm",
  );
}

function vocabularyOf({ run }: Dump): number | null {
  const model = run["model"] as { readonly vocab_size?: unknown } | null | undefined;
  const size = model?.vocab_size;
  return typeof size === "number" && Number.isSafeInteger(size) && size > 0 ? size : null;
}

/** Columns of the logits that a dump stores whole; null where it stores none. */
function columnsOf({ tensors }: Dump): number | null {
  const stored = tensors.find(({ name, encoding }) => name === "logits" && encoding === "dense");
  return stored === undefined ? null : extentOf(stored.shape).width;
}

/** What the first of `dumps` that says it says of its weights, and what the head's file is. */
function digestsOf(weights: HeadWeights, dumps: readonly Dump[]): HeadFacts["otherWeights"] {
  const told = dumps.map(({ run }) => {
    const model = run["model"] as { readonly weights_sha256?: unknown } | null | undefined;
    return model?.weights_sha256;
  });
  const expected = told.find((one) => typeof one === "string");
  if (expected === undefined) return null;
  return { expected: expected.slice(0, 64), found: weights.sha256() };
}

/** What a dump says of the logits at one step of a continuation. */

import { extentOf } from "../../align/shapes.ts";
import { readIds, type TokenTable, tokenKey, tokenTable } from "../../align/tokens.ts";
import { DTYPES, isFloatDType } from "../../core/dtype.ts";
import { decodeInto } from "../../dump/decode.ts";
import type { Dump, TensorEntry } from "../../dump/dump.ts";
import { StoredForm } from "../stored-form.ts";

/** Longest row of logits that is read: 32 MiB in float64, sixteen times the largest vocabulary of today. */
const MAX_VOCABULARY = 2 ** 22;

/** Log-probabilities of one position up to a constant: a whole row of logits, or the best tokens alone. */
export type StepLogits =
  | { readonly kind: "whole"; readonly logits: Float64Array }
  | {
      readonly kind: "list";
      readonly logprobs: ReadonlyMap<number, number>;
      /** Of the last token that is listed: no other is likelier. */
      readonly least: number;
    };

/** The log-probability of a token up to the position's constant; null where it is not known. */
export function valueOf(step: StepLogits, id: number): number | null {
  const value = step.kind === "whole" ? step.logits[id] : step.logprobs.get(id);
  return value === undefined || Number.isNaN(value) ? null : value;
}

/**
 * Reads positions of one dump. Step n follows the prompt and n tokens of the
 * continuation: the logits of the prompt's last row for n = 0, of the n-th decode
 * step beyond, where it was fed with those n tokens.
 */
export class StepReader {
  private readonly dump: Dump;
  private readonly tables = new Map<string, TokenTable>();

  constructor(dump: Dump) {
    this.dump = dump;
  }

  /** The whole logits; null where they are not stored there, densely and of one vocabulary. */
  whole(sample: number, step: number): StepLogits | null {
    const entry = this.at("logits", sample, step);
    if (entry?.encoding !== "dense" || !isFloatDType(entry.dtype)) return null;
    const { rows, width } = extentOf(entry.shape);
    if (rows === 0 || width === 0 || width > MAX_VOCABULARY || (step > 0 && rows !== 1))
      return null;
    const size = DTYPES[entry.dtype].bytes;
    const bytes = new Uint8Array(width * size);
    const logits = new Float64Array(width);
    this.dump.read(entry, (rows - 1) * width * size, bytes);
    decodeInto(entry.dtype, bytes, logits);
    return { kind: "whole", logits };
  }

  /**
   * The likeliest tokens that were noted while the dump's own continuation was made.
   *
   * @param ids its `generated_ids`.
   * @throws NpuDiffError `dump-corrupt` where they do not fit it, or are no log-probabilities.
   */
  generated(sample: number, step: number, ids: TensorEntry): StepLogits | null {
    return this.list(sample, 0, step, ids, "generated_topk_ids", "generated_topk_logprobs");
  }

  /**
   * The likeliest tokens by the reduced logits of the forward that was fed.
   *
   * @throws NpuDiffError as {@link generated}.
   */
  fed(sample: number, step: number): StepLogits | null {
    const ids = this.at("input_ids", sample, step);
    if (ids === undefined || ids.elements === 0 || (step > 0 && ids.elements !== 1)) return null;
    return this.list(sample, step, ids.elements - 1, ids, "topk_ids", "topk_logprobs");
  }

  /** Whether the decode steps 1 … `steps` were fed with the first tokens of `ids`, which `dump` holds. */
  wasFedWith(sample: number, steps: number, dump: Dump, ids: TensorEntry): boolean {
    for (let step = 1; step <= steps; step += 1) {
      const fed = this.at("input_ids", sample, step);
      if (fed?.elements !== 1) return false;
      if (readIds(this.dump, fed, 0, 1)[0] !== readIds(dump, ids, step - 1, 1)[0]) return false;
    }
    return true;
  }

  private list(
    sample: number,
    step: number,
    row: number,
    positions: TensorEntry,
    idsName: string,
    logprobsName: string,
  ): StepLogits | null {
    const ids = this.at(idsName, sample, step);
    const logprobs = this.at(logprobsName, sample, step);
    if (ids === undefined || logprobs === undefined) return null;
    const form = new StoredForm(
      this.dump,
      new Map([
        ["topk_ids", ids],
        ["topk_logprobs", logprobs],
      ] as const),
      { dump: this.dump, entry: positions },
      Number.POSITIVE_INFINITY,
    );
    const { top } = form.at(row);
    if (top === null) return null;
    const listed = new Map<number, number>();
    for (const [i, token] of top.ids.entries()) listed.set(token, top.logprobs[i] as number);
    return { kind: "list", logprobs: listed, least: top.logprobs.at(-1) as number };
  }

  private at(name: string, sample: number, step: number): TensorEntry | undefined {
    let table = this.tables.get(name);
    if (table === undefined) {
      table = tokenTable(this.dump, name);
      this.tables.set(name, table);
    }
    return table.get(tokenKey(sample, step));
  }
}

/**
 * What the model says where a side stores its logits in a reduced form. A side
 * that stores them whole is reduced here, row by row, so that like meets like.
 */

import { groupOf } from "../align/align.ts";
import { sameShape } from "../align/shapes.ts";
import { type TokenTable, tokenKey, tokenTable } from "../align/tokens.ts";
import { isFloatDType } from "../core/dtype.ts";
import type { TokenAt } from "../core/places.ts";
import type { NotAvailable } from "../core/quality.ts";
import type { StepGroup } from "../core/verdict.ts";
import { REDUCED_LOGITS, type ReducedLogitsName } from "../dump/contract.ts";
import type { Dump, TensorEntry } from "../dump/dump.ts";
import { DenseForm, type SampleIds } from "./dense-form.ts";
import { leastKl } from "./kl-bound.ts";
import type { LastRowAgreement, LogitsQuality } from "./logits.ts";
import type { LogitsForm, LogitsRow } from "./logits-form.ts";
import { MeanWithLargest } from "./mean-with-largest.ts";
import { Predictions } from "./predictions.ts";
import { StoredForm } from "./stored-form.ts";
import { TopAgreement } from "./top-agreement.ts";
import { TOP_K } from "./top-k.ts";

export interface ReducedQuality {
  readonly quality: LogitsQuality;
  /** Empty where the lists of the best tokens leave one open. */
  readonly lastRowAgreement: LastRowAgreement;
}

/**
 * The quality figures of the prompts by reduced logits.
 *
 * A figure is given only where every sample has what it needs on both sides,
 * token ids included; `notAvailable` says what it lacked. Memory holds one
 * piece of a row and one block of positions a side.
 *
 * @param tokens `input_ids` of the reference.
 * @throws NpuDiffError `dump-corrupt` where a reduced form holds what cannot be.
 */
export function reducedQuality(
  reference: Dump,
  candidate: Dump,
  tokens: TokenTable,
): ReducedQuality {
  const mine = storedLogits(reference, "prefill");
  const theirs = storedLogits(candidate, "prefill");
  const samples = [...new Set([...mine.keys(), ...theirs.keys()])]
    .map((key) => Number.parseInt(key, 10))
    .sort((a, b) => a - b)
    .map((sample) => {
      const key = tokenKey(sample, 0);
      const ids = tokens.get(key) ?? null;
      return {
        sample,
        rows: ids?.elements ?? 0,
        open: () =>
          formsOf(
            { dump: reference, stored: mine.get(key) },
            { dump: candidate, stored: theirs.get(key) },
            ids === null ? null : { dump: reference, entry: ids },
          ),
      };
    });
  const meter = new ReducedMeter(whyNot(samples.map(({ open }) => open())));
  for (const { sample, rows, open } of samples) {
    // Opened again, so that the buffers of one sample are held at a time.
    const forms = open();
    if (typeof forms === "string") continue;
    for (let row = 0; row < rows; row += 1) {
      const at = { sample, step: 0, token: row };
      meter.add(forms.reference.at(row), forms.candidate.at(row), at, row === rows - 1);
    }
    meter.endSample();
  }
  return meter.result();
}

/** The step groups in which both dumps hold logits of some place, and one holds them reduced alone. */
export function reducedGroups(reference: Dump, candidate: Dump): ReadonlySet<StepGroup> {
  const isReduced = (group: StepGroup): boolean => {
    const theirs = storedLogits(candidate, group);
    return [...storedLogits(reference, group)].some(([key, mine]) => {
      const other = theirs.get(key);
      return other !== undefined && (mine.dense === null || other.dense === null);
    });
  };
  return new Set((["prefill", "decode"] as const).filter(isReduced));
}

/** How a dump stores the logits of one sample. */
interface StoredLogits {
  readonly dense: TensorEntry | null;
  readonly reduced: ReadonlyMap<ReducedLogitsName, TensorEntry>;
}

/** The logits of one step group, by sample and step. */
function storedLogits(dump: Dump, group: StepGroup): ReadonlyMap<string, StoredLogits> {
  const found = new Map<
    string,
    { dense: TensorEntry | null; reduced: Map<ReducedLogitsName, TensorEntry> }
  >();
  const at = (key: string) => {
    const known = found.get(key) ?? {
      dense: null,
      reduced: new Map<ReducedLogitsName, TensorEntry>(),
    };
    found.set(key, known);
    return known;
  };
  for (const [key, entry] of tokenTable(dump, "logits")) {
    if (groupOf(entry.step) !== group) continue;
    if (entry.encoding === "dense" && isFloatDType(entry.dtype)) at(key).dense = entry;
  }
  for (const name of REDUCED_LOGITS) {
    for (const [key, entry] of tokenTable(dump, name)) {
      if (groupOf(entry.step) === group) at(key).reduced.set(name, entry);
    }
  }
  return found;
}

interface FormPair {
  readonly reference: LogitsForm;
  readonly candidate: LogitsForm;
}

interface SideLogits {
  readonly dump: Dump;
  readonly stored: StoredLogits | undefined;
}

/** Both sides of one sample, or why there are not. */
function formsOf(
  reference: SideLogits,
  candidate: SideLogits,
  ids: SampleIds,
): FormPair | "no-ids" | "no-predictions" | "some-samples" {
  if (ids === null) return "no-ids";
  const rows = ids.entry.elements;
  const [a, b] = [reference.stored, candidate.stored];
  if (a === undefined || b === undefined) return "some-samples";
  const dense = [a.dense, b.dense].filter((entry) => entry !== null);
  const [first, second] = dense;
  const fits =
    dense.every(({ shape }) => shape[0] === rows) &&
    (first === undefined || second === undefined || sameShape(first.shape, second.shape));
  if (!fits) return "no-predictions";
  const vocabulary = first === undefined ? Number.POSITIVE_INFINITY : first.elements / rows;
  const form = ({ dump }: SideLogits, stored: StoredLogits, k: number): LogitsForm => {
    const { dense: entry, reduced } = stored;
    if (entry === null) return new StoredForm(dump, reduced, ids, vocabulary);
    const { dtype } = entry;
    if (!isFloatDType(dtype)) throw new RangeError(`${dtype} is no float dtype`);
    return new DenseForm(dump, { ...entry, dtype }, ids, Math.max(k, TOP_K));
  };
  const listed = (stored: StoredLogits): number => stored.reduced.get("topk_ids")?.shape[1] ?? 0;
  return {
    reference: form(reference, a, listed(b)),
    candidate: form(candidate, b, listed(a)),
  };
}

/** Why each kind of figure is not available, null where it is. */
interface Reasons {
  readonly predictions: string | null;
  readonly top: string | null;
  readonly lse: string | null;
}

function whyNot(forms: readonly ReturnType<typeof formsOf>[]): Reasons {
  const common = forms.find((form) => typeof form === "string");
  const every = (holds: (form: LogitsForm) => boolean): boolean =>
    forms.every(
      (form) => typeof form !== "string" && holds(form.reference) && holds(form.candidate),
    );
  const reason = (holds: (form: LogitsForm) => boolean, lack: string): string | null =>
    typeof common === "string" ? common : every(holds) ? null : lack;
  return {
    predictions: reason(({ holdsNext }) => holdsNext, "no-token-logprob"),
    top: reason(({ k }) => k > 0, "no-topk"),
    lse: reason(({ holdsLse }) => holdsLse, "no-lse"),
  };
}

/** The sums behind {@link reducedQuality}. */
class ReducedMeter {
  private readonly reasons: Reasons;
  private readonly predictions = new Predictions();
  private readonly agreement = new TopAgreement();
  private readonly divergence = new MeanWithLargest();
  private readonly lse = new MeanWithLargest();
  private readonly lastRows = new Map<number, boolean>();

  constructor(reasons: Reasons) {
    this.reasons = reasons;
  }

  add(reference: LogitsRow, candidate: LogitsRow, at: TokenAt, isLast: boolean): void {
    const { predictions, top, lse } = this.reasons;
    const [x, y] = [reference, candidate];
    if (predictions === null && !isLast) {
      this.predictions.add(x.nextLogprob ?? Number.NaN, y.nextLogprob ?? Number.NaN);
    }
    if (lse === null) {
      this.lse.add(Math.abs((y.lse ?? Number.NaN) - (x.lse ?? Number.NaN)), at);
    }
    if (top !== null || x.top === null || y.top === null) return;
    this.divergence.add(leastKl(x.top, y.top), at);
    const agrees = this.agreement.add(x.top, y.top);
    if (isLast && agrees !== null) this.lastRows.set(at.sample, agrees);
  }

  endSample(): void {
    this.predictions.endSample();
    this.divergence.endSample();
    this.lse.endSample();
  }

  result(): ReducedQuality {
    const [perplexity, perplexitySeed] = this.predictions.perplexity();
    const { top1Agreement, topKOverlap } = this.agreement.result();
    const divergence = this.divergence.result();
    const lse = this.lse.result();
    return {
      quality: {
        perplexity,
        perplexitySeed,
        kl: null,
        top1Agreement,
        topKOverlap,
        flips: null,
        deltaP: this.predictions.deltaP(),
        klLowerBound: divergence,
        lse:
          lse === null
            ? null
            : { meanAbs: lse.mean, maxAbs: lse.max, maxAt: lse.maxAt, positions: lse.positions },
        notAvailable: this.notAvailable(perplexity !== null),
      },
      lastRowAgreement: this.agreement.decided ? this.lastRows : new Map(),
    };
  }

  private notAvailable(predicted: boolean): readonly NotAvailable[] {
    const list = (reason: string | null, ...figures: readonly string[]): readonly NotAvailable[] =>
      reason === null ? [] : figures.map((figure) => ({ figure, reason }));
    const { predictions, top, lse } = this.reasons;
    const { k, decided } = this.agreement;
    const short = (depth: number): string | null => top ?? (k < depth ? "short-topk" : null);
    return [
      ...list(
        predictions ?? (predicted ? null : "no-predictions"),
        "perplexity",
        "perplexitySeed",
        "deltaP",
      ),
      ...list("reduced-logits", "kl"),
      ...list(top, "klLowerBound"),
      ...list(top ?? (decided ? null : "tied-topk"), "top1Agreement", "firstToken"),
      ...list("reduced-logits", "top1Agreement.nearTies", "flips"),
      ...list(short(5), "topKOverlap.k5"),
      ...list(short(10), "topKOverlap.k10"),
      ...list(lse, "lse"),
    ];
  }
}

/** Puts the tensors of a run together from what its ranks hold, or says why they do not fit. */

import { counted } from "../core/counted.ts";
import { isFloatDType } from "../core/dtype.ts";
import { type ErrorCode, type ErrorFact, NpuDiffError } from "../core/errors.ts";
import type { FileDump } from "./arrow-dump.ts";
import { Assembly, type Part, type SlicePart } from "./assembly.ts";
import type { TensorEntry } from "./dump.ts";
import { describeRank, placeName } from "./rank-errors.ts";
import { refuseUnequalReplicas } from "./replicas.ts";
import type { Share } from "./shards.ts";
import type { RankEntry } from "./slice.ts";

/** A tensor among all of a run: what two ranks' parts of it have in common. */
export type TensorKey = string;

/** Name, sample, step and repetition. */
export function tensorKey({ name, sample, step, repeat }: TensorEntry): TensorKey {
  return `${sample},${step},${repeat},${name}`;
}

/** How the ranks of a run share its tensors out. */
export interface Layout {
  /** Ranks that compute one layer together: all, or those of one stage of the pipeline. */
  readonly stageRanks: number;
  /** All ranks, in their order. */
  readonly dumps: readonly FileDump[];
}

/**
 * The tensors of a run, in the order of rank 0, then of the others. Replicas
 * are read on every rank, and must be equal.
 *
 * Of ranks that `repair` put together tensors that lack a part are left out.
 *
 * @throws NpuDiffError `ranks-differ`, `replicas-differ`, `rank-missing`, `shards-invalid`
 */
export function assemble(layout: Layout): ReadonlyMap<TensorKey, Assembly> {
  const found = new Map<TensorKey, [Part, ...Part[]]>();
  for (const dump of layout.dumps) {
    for (const entry of dump.tensors) {
      const key = tensorKey(entry);
      const parts = found.get(key);
      if (parts === undefined) found.set(key, [{ dump, entry }]);
      else parts.push({ dump, entry });
    }
  }
  const isRepaired = layout.dumps.some(({ repaired }) => repaired);
  const whole = new Map<TensorKey, Assembly>();
  for (const [key, parts] of found) {
    const assembly = assembleOne(parts, layout);
    if (assembly instanceof Assembly) whole.set(key, assembly);
    else if (!isRepaired) throw assembly;
  }
  return whole;
}

/** One tensor; an error that is returned says that a part is lacking. */
function assembleOne(parts: readonly [Part, ...Part[]], layout: Layout): Assembly | NpuDiffError {
  const share = agreedShare(parts);
  switch (share.kind) {
    case "own":
      return Assembly.held(parts[0]);
    case "replica":
      refuseUnequalReplicas(parts);
      return lacksIds(parts, layout) ?? Assembly.held(parts[0]);
    case "term":
      return sumOf(parts, layout);
    case "slice":
      return slicesOf(parts as readonly Part[] as readonly SlicePart[]);
  }
}

/** Refuses parts that cannot be of one tensor, and says what they are of it. */
function agreedShare([first, ...others]: readonly [Part, ...Part[]]): Share {
  const share = shareOf(first);
  for (const other of others) {
    const theirs = shareOf(other);
    const facts: readonly (readonly [unknown, unknown])[] =
      share.kind === "own"
        ? []
        : [
            [shown(share), shown(theirs)],
            [first.entry.dtype, other.entry.dtype],
            [shapeOf(first.entry), shapeOf(other.entry)],
            [first.entry.encoding, other.entry.encoding],
            [`layer ${String(first.entry.layer)}`, `layer ${String(other.entry.layer)}`],
          ];
    for (const [mine, yours] of facts) {
      if (mine === yours) continue;
      throw refusal(
        "ranks-differ",
        `the ranks do not agree in what ${placeName(first.entry)} is`,
        [describeRank(first.dump, String(mine)), describeRank(other.dump, String(yours))],
        "capture all ranks again, in one run by one writer",
      );
    }
  }
  return share;
}

function shareOf({ dump, entry }: Part): Share {
  // The file's index has no tensor without one.
  return dump.part?.shards.of(entry.name) ?? { kind: "own" };
}

/** What all ranks must say alike of a share. */
function shown(share: Share): string {
  return share.kind === "slice" ? `a slice of axis ${share.axis}` : `a ${share.kind}`;
}

function shapeOf({ slice, shape }: RankEntry): string {
  return `[${(slice?.whole ?? shape).join(", ")}]`;
}

/** The ids are how anyone knows that the ranks ran the same prompts: every rank has them, or none. */
function lacksIds(parts: readonly [Part, ...Part[]], layout: Layout): NpuDiffError | null {
  const [{ entry }] = parts;
  if (entry.name !== "input_ids" || parts.length === layout.dumps.length) return null;
  return lacking(parts, layout.dumps.length, layout, "input_ids");
}

function sumOf(parts: readonly [Part, ...Part[]], layout: Layout): Assembly | NpuDiffError {
  const { stageRanks } = layout;
  const { dtype } = parts[0].entry;
  if (parts.length === stageRanks && isFloatDType(dtype)) return Assembly.ofTerms(parts, dtype);
  const error = lacking(parts, stageRanks, layout, "terms of a sum");
  if (parts.length > stageRanks) throw error;
  return error;
}

function lacking(
  parts: readonly [Part, ...Part[]],
  wanted: number,
  { dumps }: Layout,
  what: string,
): NpuDiffError {
  const holds = new Set(parts.map(({ dump }) => dump));
  const without = dumps.find((dump) => !holds.has(dump));
  return refusal(
    "shards-invalid",
    `${placeName(parts[0].entry)} is not on the ranks that it must be on`,
    [
      { label: "found", text: `${what} on ${counted(parts.length, "rank")}` },
      { label: "expected", text: `on ${wanted}` },
      ...(without === undefined ? [] : [describeRank(without, "has none")]),
    ],
    "capture all ranks again, in one run by one writer",
  );
}

function slicesOf(parts: readonly SlicePart[]): Assembly | NpuDiffError {
  const [first, ...rest] = parts.toSorted(
    ({ entry: { slice: a } }, { entry: { slice: b } }) => a.start - b.start || a.length - b.length,
  ) as [SlicePart, ...SlicePart[]];
  const sorted = [first, ...rest] as const;
  const { axis, whole } = first.entry.slice;
  const extent = whole[axis] ?? 1;
  let end = 0;
  for (const { dump, entry } of sorted) {
    const { start, length } = entry.slice;
    if (start < end) {
      throw uncovered(entry, "overlap", [
        { label: "covered", text: `up to index ${end} of axis ${axis}` },
        describeRank(dump, `from index ${start} on`),
      ]);
    }
    if (start > end) {
      return uncovered(entry, "leave a gap", [
        { label: "covered", text: `up to index ${end} of axis ${axis}` },
        describeRank(dump, `from index ${start} on`),
      ]);
    }
    end = start + length;
  }
  if (end >= extent) return Assembly.ofSlices(sorted);
  return uncovered(first.entry, "leave a gap", [
    { label: "covered", text: `up to index ${end} of axis ${axis}` },
    { label: "shape", text: `[${whole.join(", ")}]` },
  ]);
}

function uncovered(entry: RankEntry, what: string, facts: readonly ErrorFact[]): NpuDiffError {
  return refusal(
    "shards-invalid",
    `the slices of ${placeName(entry)} ${what}`,
    facts,
    "correct start and length in run.shards of each rank, or capture all ranks again",
  );
}

function refusal(
  code: ErrorCode,
  what: string,
  facts: readonly ErrorFact[],
  help: string,
): NpuDiffError {
  return new NpuDiffError(code, { what, facts, help });
}

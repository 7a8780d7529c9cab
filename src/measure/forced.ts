/**
 * Forced references: the reference engine fed with the residual stream of the
 * candidate, or of a floor, throughout. What a module answered beside what it
 * should have answered to that very input is its own error, without what it
 * inherited.
 */

import { refuseOtherModel } from "../align/configuration.ts";
import { checkInputs } from "../align/inputs.ts";
import { replayOf, shownReplay } from "../align/replay.ts";
import type { RunRelation } from "../align/runs.ts";
import { checkTokens } from "../align/tokens.ts";
import { DTYPES } from "../core/dtype.ts";
import { type ErrorFact, NpuDiffError } from "../core/errors.ts";
import type { Dump } from "../dump/dump.ts";
import { shellWord } from "../dump/dump-file.ts";
import type { Sides } from "./measure-tensor.ts";

/** The forced references of a comparison, each beside the dump that it replays. */
export interface ForcedReferences {
  /** Of the candidate; null where it has none. */
  readonly candidate: Dump | null;
  /** Of each floor, in their order; null where it has none. */
  readonly floors: readonly (Dump | null)[];
  /** The candidate's file where it has none though some were given or a set was; else those of the floors that have none. */
  readonly absent: readonly string[];
  /** Those that ran in a coarser format than the reference. */
  readonly coarse: readonly Dump[];
}

/**
 * Opens the dumps at `paths` and pairs each with the dump that it replays, by
 * `capture.replay_of`.
 *
 * @param relation how reference and candidate relate: an isolated replay is its own forced comparison.
 * @param expected whether there should be some even where no path is given.
 * @throws NpuDiffError `forced-incompatible` where one replays no dump of this
 *   comparison, or one that has a forced reference already, or was made from other tokens or by another
 *   model, on the device under test, or in a format that is no finer than the dump's.
 */
export function openForced(
  paths: readonly string[],
  open: (path: string) => Dump,
  { reference, candidate, floors }: Sides,
  relation: RunRelation,
  expected: boolean,
): ForcedReferences {
  const known = [candidate, ...floors.map(({ dump }) => dump)];
  const byId = new Map<string, Dump>();
  for (const path of paths) {
    const dump = open(path);
    if (relation === "isolated") throw needless(dump, candidate);
    const id = replayOf(dump)?.id ?? null;
    if (id === null || !known.some(({ run }) => run.id === id)) throw stranger(dump, known);
    const other = byId.get(id);
    if (other !== undefined) throw second(dump, other);
    checkTokens(reference, dump, "forced");
    checkInputs(reference, dump, "forced");
    refuseOtherModel(dump, reference);
    const replayed = known.find(({ run }) => run.id === id);
    if (replayed !== undefined) refuseUnfit(dump, replayed, reference);
    byId.set(id, dump);
  }
  const unit = (dump: Dump): number => DTYPES[dump.run.dtype].u ?? 0;
  const lacking = known.filter(({ run }) => !byId.has(run.id)).map(({ file }) => file);
  return {
    candidate: byId.get(candidate.run.id) ?? null,
    floors: floors.map(({ dump }) => byId.get(dump.run.id) ?? null),
    // Without the candidate's, those of the floors are of no use.
    absent:
      !expected && byId.size === 0 ? [] : byId.has(candidate.run.id) ? lacking : [candidate.file],
    coarse: [...byId.values()].filter((dump) => unit(dump) > unit(reference)),
  };
}

/** Refuses a forced reference that shares the roundings, or the device, of the dump that it is to judge. */
function refuseUnfit(dump: Dump, replayed: Dump, reference: Dump): void {
  const facts = (text: (of: Dump) => string): readonly ErrorFact[] =>
    (
      [
        ["forced", dump],
        ["replays", replayed],
      ] as const
    ).map(([label, of]) => ({ label, text: `${of.file}   ${text(of)}` }));
  const unit = ({ run }: Dump): number => DTYPES[run.dtype].u ?? 0;
  if (unit(dump) >= unit(replayed)) {
    throw new NpuDiffError("forced-incompatible", {
      what: "a forced reference must run in a finer format than the dump that it replays",
      facts: facts(({ run }) => run.dtype),
      help: `make it with npu-dump replay --dtype ${replayed.run.dtype === "F32" ? "float64" : "float32"}`,
    });
  }
  const device = deviceTypeOf(dump);
  if (device === null || device !== deviceTypeOf(replayed)) return;
  const trusted = deviceTypeOf(reference);
  if (trusted === null || trusted === device) return;
  throw new NpuDiffError("forced-incompatible", {
    what: "a forced reference must not run on the device under test, whose faults it would share",
    facts: [...facts(() => device), { label: "reference", text: `${reference.file}   ${trusted}` }],
    help: `make it on the reference's device: npu-dump replay --device ${shellWord(trusted)}`,
  });
}

function deviceTypeOf({ run }: Dump): string | null {
  const device = run["device"] as { readonly type?: unknown } | null | undefined;
  return typeof device?.type === "string" ? device.type : null;
}

function stranger(dump: Dump, known: readonly Dump[]): NpuDiffError {
  const [candidate, ...floors] = known;
  const fact = (label: string, { file, run }: Dump): ErrorFact => ({
    label,
    text: `${file}   id ${run.id}`,
  });
  return new NpuDiffError("forced-incompatible", {
    what: `${dump.file} replays neither the candidate nor a floor of this comparison`,
    facts: [
      { label: "forced", text: `${dump.file}   ${shownReplay(dump)}` },
      ...(candidate === undefined ? [] : [fact("candidate", candidate)]),
      ...floors.map((floor) => fact("floor", floor)),
    ],
    help: "give what npu-dump replay made of the candidate or of a floor that is given too",
  });
}

function second(dump: Dump, other: Dump): NpuDiffError {
  return new NpuDiffError("forced-incompatible", {
    what: "two forced references replay the same dump",
    facts: [other, dump].map((one) => ({
      label: "forced",
      text: `${one.file}   ${shownReplay(one)}`,
    })),
    help: "give one forced reference of each dump",
  });
}

function needless(dump: Dump, candidate: Dump): NpuDiffError {
  return new NpuDiffError("forced-incompatible", {
    what: "an isolated replay has no forced reference: each of its tensors stands for itself already",
    facts: [
      { label: "candidate", text: `${candidate.file}   ${shownReplay(candidate)}` },
      { label: "forced", text: `${dump.file}   ${shownReplay(dump)}` },
    ],
    help: "leave --forced away, or give the candidate's run without a replay",
  });
}

/** What a check does with the baseline: holds results to it, and writes what is accepted. */

import { randomBytes } from "node:crypto";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { BaselineState, PairOutcome } from "../core/check-result.ts";
import { NpuDiffError, unwritable } from "../core/errors.ts";
import type { BaselineUpdate } from "../core/options.ts";
import type { ComparisonResult } from "../core/result.ts";
import {
  baselineFindings,
  baselineOf,
  excused,
  extended,
  identityOf,
  type PairBaseline,
} from "../judge/baseline.ts";
import { finding } from "../judge/findings.ts";
import { Levels } from "../judge/levels.ts";
import { withFindings } from "../judge/with-findings.ts";
import { type Baseline, baselineText, readBaseline } from "./baseline-file.ts";
import type { LoadedConfig } from "./load.ts";
import type { ResolvedPair } from "./resolve.ts";

export class Gate {
  /** Null where the config names no baseline. */
  private readonly path: string | null;
  private readonly update: BaselineUpdate | null;
  private readonly needsBaseline: boolean;
  private readonly existing: Baseline | null;
  private readonly accepted = new Map<string, PairBaseline>();

  /**
   * @param needsBaseline whether a baseline that is named and not there is an error
   * @throws NpuDiffError `usage`, `baseline-invalid` or `baseline-missing`
   */
  constructor(loaded: LoadedConfig, update: BaselineUpdate | null, needsBaseline: boolean) {
    this.path = baselinePath(loaded);
    if (update !== null && this.path === null) {
      throw new NpuDiffError("usage", {
        what: "the config names no baseline to update",
        facts: [{ label: "config", text: loaded.placeOf([]) }],
        help: 'add "baseline": "npu-diff.baseline.json" to it',
      });
    }
    this.update = update;
    this.needsBaseline = needsBaseline;
    this.existing = this.path === null ? null : readBaseline(this.path);
    if (this.path !== null && this.existing === null && update === null && needsBaseline) {
      throw missing(basename(this.path), null);
    }
  }

  /**
   * `result` with what the baseline says of it. Where figures are accepted, it is
   * held to what is accepted, as the next check will.
   *
   * @throws NpuDiffError `baseline-differs`, or `baseline-missing` where it must hold this pair and does not
   */
  finish({ name, options, allowance }: ResolvedPair, result: ComparisonResult): ComparisonResult {
    if (this.path === null) return result;
    const at = basename(this.path);
    const { existing } = this;
    const old =
      existing !== null && Object.hasOwn(existing.pairs, name)
        ? (existing.pairs[name] ?? null)
        : null;
    const levels = new Levels(options.levels);
    const baseline = this.accept(name, old, result, at);
    if (baseline === null) {
      if (this.needsBaseline) throw missing(at, name);
      const absent = levels.all([finding("baseline/absent", { detail: { at } })]);
      return withFindings(result, [...absent, ...result.findings]);
    }
    const own =
      allowance.against === "baseline"
        ? excused(result.findings, baseline, allowance, at)
        : result.findings;
    return withFindings(result, [
      ...own,
      ...levels.all(baselineFindings(result, baseline, allowance)),
    ]);
  }

  /**
   * Writes what was accepted, if all pairs were compared: a baseline is whole, or not
   * there.
   *
   * @param all whether the call named no pairs, so that whatever else the baseline holds is of none
   * @param announce told of the file under whose name it is written before it has its own
   */
  write(
    outcomes: readonly PairOutcome[],
    all: boolean,
    announce: (temporary: string) => void,
  ): BaselineState | null {
    if (this.path === null) return null;
    const file = basename(this.path);
    if (this.update === null) {
      return { file, state: this.existing === null ? "missing" : "compared" };
    }
    if (outcomes.some(({ error }) => error !== null)) return { file, state: "not-written" };
    const kept = all && this.update === "all" ? {} : this.existing?.pairs;
    const pairs = { ...kept, ...Object.fromEntries(this.accepted) };
    writeWhole(this.path, baselineText({ schemaVersion: 1, pairs }), announce);
    return { file, state: "written" };
  }

  /** What the result is held to; null where there is nothing. */
  private accept(
    name: string,
    old: PairBaseline | null,
    result: ComparisonResult,
    at: string,
  ): PairBaseline | null {
    if (this.update === null || (this.update === "new" && old !== null)) {
      if (old === null) return null;
      refuseOther(name, old, result, at);
      if (this.update === null) return old;
    }
    const accepted =
      this.update === "new" && old !== null
        ? extended(old, baselineOf(result))
        : baselineOf(result);
    this.accepted.set(name, accepted);
    return accepted;
  }
}

/** The file of the baseline; null where the config names none. */
export function baselinePath({ config, folder }: LoadedConfig): string | null {
  return config.baseline === undefined ? null : resolve(folder, config.baseline);
}

/** Figures of other tokens, another model or another preset are no figures to get worse from. */
function refuseOther(
  name: string,
  baseline: PairBaseline,
  result: ComparisonResult,
  at: string,
): void {
  const now = identityOf(result);
  const sides = [
    ["another preset", baseline.preset, now.preset],
    ["other tokens", baseline.tokensSha256, now.tokensSha256],
    ["another model", baseline.model.id, now.model.id],
    ["another configuration of the model", baseline.model.configSha256, now.model.configSha256],
    ["other weights", baseline.model.weightsSha256, now.model.weightsSha256],
  ] as const;
  for (const [what, before, after] of sides) {
    if (before === after) continue;
    throw new NpuDiffError("baseline-differs", {
      what: `the baseline of ${JSON.stringify(name)} is one of ${what}`,
      facts: [
        { label: at, text: before ?? "not told" },
        { label: "this run", text: after ?? "not told" },
      ],
      help: `compare what the baseline was made of, or accept the new figures: npu-diff check -u ${name}`,
    });
  }
}

function missing(at: string, name: string | null): NpuDiffError {
  return new NpuDiffError("baseline-missing", {
    what:
      name === null ? "there is no baseline" : `the baseline has no pair ${JSON.stringify(name)}`,
    facts: [
      { label: "baseline", text: at },
      {
        label: "expected",
        text: "one, where CI is set or a program asks for it: a gate without would hold nothing",
      },
    ],
    help: `write it where you can look at it, and commit it: npu-diff check -u${name === null ? "" : ` ${name}`}`,
  });
}

/** Writes to a temporary name beside `path`, then renames: the file is never half. */
function writeWhole(path: string, text: string, announce: (temporary: string) => void): void {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  announce(temporary);
  try {
    writeFileSync(temporary, text, { flag: "wx" });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw unwritable("the baseline cannot be written", { label: "baseline", path, cause: error });
  }
}

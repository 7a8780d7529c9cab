/** What a check does with the baseline: holds results to it, and writes what is accepted. */

import { randomBytes } from "node:crypto";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { type Baseline, baselineText, readBaseline } from "../config/baseline-file.ts";
import type { LoadedConfig } from "../config/load.ts";
import type { ResolvedPair } from "../config/resolve.ts";
import type { BaselineState, PairOutcome } from "../core/check-result.ts";
import { NpuDiffError } from "../core/errors.ts";
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
import { usageError } from "./arguments.ts";
import type { Host } from "./host.ts";
import type { UPDATES } from "./options.ts";

/** `all` accepts every figure, `new` only what the baseline does not hold. */
export type Update = (typeof UPDATES)[number];

export class Gate {
  /** Null where the config names no baseline. */
  private readonly path: string | null;
  private readonly update: Update | null;
  private readonly isCi: boolean;
  private readonly existing: Baseline | null;
  private readonly accepted = new Map<string, PairBaseline>();

  /**
   * @throws NpuDiffError `usage`, `baseline-invalid`, or `baseline-missing` where a CI has none to compare with
   */
  constructor(loaded: LoadedConfig, update: Update | null, env: Host["env"]) {
    const { baseline } = loaded.config;
    if (update !== null && baseline === undefined) {
      throw usageError(
        "the config names no baseline to update",
        { config: loaded.placeOf([]) },
        'add "baseline": "npu-diff.baseline.json" to it',
      );
    }
    this.path = baseline === undefined ? null : resolve(loaded.folder, baseline);
    this.update = update;
    this.isCi = isSet(env["CI"]);
    this.existing = this.path === null ? null : readBaseline(this.path);
    if (this.path !== null && this.existing === null && update === null && this.isCi) {
      throw missing(basename(this.path), null);
    }
  }

  /** The files that no report may replace. */
  get files(): readonly string[] {
    return this.path === null ? [] : [this.path];
  }

  /**
   * `result` with what the baseline says of it. Where figures are accepted, it is
   * held to what is accepted, as the next check will.
   *
   * @throws NpuDiffError `baseline-differs`, or `baseline-missing` where a CI has none of this pair
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
      if (this.isCi) throw missing(at, name);
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
   */
  write(outcomes: readonly PairOutcome[], all: boolean, host: Host): BaselineState | null {
    if (this.path === null) return null;
    const file = basename(this.path);
    if (this.update === null) {
      return { file, state: this.existing === null ? "missing" : "compared" };
    }
    if (outcomes.some(({ error }) => error !== null)) return { file, state: "not-written" };
    const kept = all && this.update === "all" ? {} : this.existing?.pairs;
    const pairs = { ...kept, ...Object.fromEntries(this.accepted) };
    writeWhole(this.path, baselineText({ schemaVersion: 1, pairs }), host);
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

/** As continuous integration sets it; some tools set it to `false` for «no». */
function isSet(ci: string | undefined): boolean {
  return ci !== undefined && !/^(?:|0|false)$/i.test(ci);
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
      { label: "CI", text: "set: a gate without a baseline would hold nothing" },
    ],
    help: `write it where you can look at it, and commit it: npu-diff check -u${name === null ? "" : ` ${name}`}`,
  });
}

/** Writes to a temporary name beside `path`, then renames: the file is never half. */
function writeWhole(path: string, text: string, host: Host): void {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  host.temporary(temporary);
  try {
    writeFileSync(temporary, text, { flag: "wx" });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new NpuDiffError("output-unwritable", {
      what: "the baseline cannot be written",
      facts: [
        { label: "baseline", text: path },
        { label: "cause", text: error instanceof Error ? error.message : String(error) },
      ],
      help: "give a path in a folder that exists and may be written to",
      cause: error,
    });
  }
}

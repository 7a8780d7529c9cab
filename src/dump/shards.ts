/** What a rank's file says of its tensors: which part of the whole each is (`run.shards`). */

import { MAX_COUNT, MAX_SHARD_GLOBS } from "./bounds.ts";
import { matchesAny } from "./contract.ts";
import type { RunMetadata } from "./dump.ts";
import type { DumpFile } from "./dump-file.ts";
import { isJsonObject } from "./json.ts";

/**
 * What a rank's tensor is of the whole one. `slice`: indices `start …
 * start+length` of one axis; what of them lies beyond the whole is padding. Along
 * axis 0 both may be left out, for prompts differ in length: then the rows say
 * where they start. `replica`: all of it. `term`: of the whole tensor's shape,
 * and the whole is the sum of all. `own`: a fact about the rank itself.
 */
export type Share =
  | {
      readonly kind: "slice";
      readonly axis: number;
      readonly start: number | null;
      readonly length: number | null;
    }
  | { readonly kind: "replica" }
  | { readonly kind: "term" }
  | { readonly kind: "own" };

const REPLICA: Share = { kind: "replica" };
const TERM: Share = { kind: "term" };
const OWN: Share = { kind: "own" };

/** What every rank was fed with and answered with: the same everywhere, whatever `run.shards` says. */
const REPLICATED = new Set([
  "input_ids",
  "position_ids",
  "prompt",
  "token_text",
  "generated_ids",
  "generated_text",
]);

/** The shares of one rank's tensors by name. */
export class Shards {
  readonly #names: ReadonlyMap<string, Share>;
  readonly #globs: readonly (readonly [string, Share])[];
  readonly #known = new Map<string, Share | null>();

  private constructor(
    names: ReadonlyMap<string, Share>,
    globs: readonly (readonly [string, Share])[],
  ) {
    this.#names = names;
    this.#globs = globs;
  }

  /** @throws NpuDiffError `dump-metadata` where `run.shards` is not what the contract says */
  static read(file: DumpFile, run: RunMetadata): Shards {
    const stated = run["shards"] ?? {};
    if (!isJsonObject(stated)) {
      throw wrong(file, "shards", stated, "an object of globs");
    }
    const names = new Map<string, Share>();
    const globs: (readonly [string, Share])[] = [];
    for (const [glob, value] of Object.entries(stated)) {
      const share = readShare(value);
      if (share === null) {
        const expected =
          '{"axis": A, "start": S, "length": L} in whole numbers from 0, {"replicated": true} or {"partial": "sum"}';
        throw wrong(file, `shards.${glob}`, value, expected);
      }
      if (glob.includes("*")) globs.push([glob, share]);
      else names.set(glob, share);
    }
    if (globs.length > MAX_SHARD_GLOBS) {
      throw wrong(file, "shards", `${globs.length} globs`, `at most ${MAX_SHARD_GLOBS} with *`);
    }
    return new Shards(names, globs);
  }

  /** Of a tensor by its name, else by the first glob that matches; null where nothing is said of it. */
  of(name: string): Share | null {
    if (REPLICATED.has(name)) return REPLICA;
    if (name.startsWith("perf.")) return OWN;
    const named = this.#names.get(name);
    if (named !== undefined) return named;
    let share = this.#known.get(name);
    if (share === undefined) {
      share = this.#globs.find(([glob]) => matchesAny([glob], name))?.[1] ?? null;
      this.#known.set(name, share);
    }
    return share;
  }
}

function readShare(value: unknown): Share | null {
  if (!isJsonObject(value)) return null;
  const stated = ["axis", "replicated", "partial"].filter((key) => Object.hasOwn(value, key));
  if (stated.length !== 1) return null;
  if (stated[0] === "replicated") return value["replicated"] === true ? REPLICA : null;
  if (stated[0] === "partial") return value["partial"] === "sum" ? TERM : null;
  const { axis, start = null, length = null } = value;
  if (!isCount(axis)) return null;
  if (axis === 0 && start === null && length === null) {
    return { kind: "slice", axis, start, length };
  }
  if (!isCount(start) || !isCount(length) || start + length > MAX_COUNT) return null;
  return { kind: "slice", axis, start, length };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function wrong(file: DumpFile, key: string, found: unknown, expected: string): Error {
  return file.fail("dump-metadata", `${file.name} does not say how its tensors were shared out`, {
    found: `run.${key}: ${typeof found === "string" ? found : JSON.stringify(found)}`,
    expected,
  });
}

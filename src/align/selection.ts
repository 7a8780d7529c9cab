/** What a dump's writer meant to store (`capture.select`). */

import { counted } from "../core/counted.ts";
import { NpuDiffError } from "../core/errors.ts";
import { matchesAny } from "../dump/contract.ts";
import type { Dump } from "../dump/dump.ts";

/** What a writer meant to store. */
export interface Selection {
  covers(name: string): boolean;
  /** Names that must be there: those given whole, and the output of every layer. */
  readonly names: readonly string[];
}

/** Patterns that a selection may hold: each is tried on every name that is missing. */
const MAX_PATTERNS = 1024;

/** More layers than any model has; a larger number is no number of layers. */
const MAX_LAYERS = 10_000;

interface Metadata {
  readonly capture?: { readonly select?: unknown; readonly decode?: unknown } | null;
  readonly model?: { readonly layers?: unknown } | null;
}

/**
 * Whether the writer of `dump` could have stored decode steps: `capture.decode` is
 * `false` where it could not (a server, a captured graph), unless some are there.
 */
export function couldDecode(dump: Dump): boolean {
  const { capture } = dump.run as Metadata;
  return capture?.decode !== false || dump.tensors.some(({ step }) => step > 0);
}

/**
 * `capture.select` of `dump`; null where its writer meant to store everything.
 *
 * @throws NpuDiffError `dump-metadata` where it is no list of so many globs.
 */
export function selectOf(dump: Dump): Selection | null {
  const { capture, model } = dump.run as Metadata;
  const select: unknown = capture?.select ?? null;
  if (select === null) return null;
  const isList = Array.isArray(select) && select.every((glob) => typeof glob === "string");
  const globs: readonly string[] = isList ? select : [];
  const patterns = globs.filter((glob) => glob.includes("*"));
  if (!isList || patterns.length > MAX_PATTERNS) {
    throw new NpuDiffError("dump-metadata", {
      what: `${dump.file}: capture.select is no list of names and globs`,
      facts: [
        { label: "found", text: isList ? counted(patterns.length, "glob") : typeof select },
        { label: "expected", text: `strings, at most ${String(MAX_PATTERNS)} of them with *` },
      ],
      help: "capture the dump again",
    });
  }
  const whole = globs.filter((glob) => !glob.includes("*"));
  const literals = new Set(whole);
  const covers = (name: string): boolean =>
    name === "input_ids" || literals.has(name) || matchesAny(patterns, name);
  const layers = typeof model?.layers === "number" ? model.layers : 0;
  const outputs = Array.from(
    { length: layers <= MAX_LAYERS ? Math.max(0, Math.floor(layers)) : 0 },
    (_, layer) => `layers.${String(layer)}`,
  );
  return { covers, names: [...whole, ...outputs.filter(covers)] };
}

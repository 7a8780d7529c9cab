/** What the run of a dump says of the file of another tool that it was read from. */

import { isJsonObject, type JsonObject } from "./json.ts";

/** Something of the file, and a sentence about it. */
export interface Remark {
  readonly name: string;
  readonly why: string;
}

/** Some remarks, the first of all. */
export interface Remarks {
  readonly first: readonly Remark[];
  readonly count: number;
}

export interface Imported {
  /** The format's name, as its users call it. */
  readonly format: string;
  /** What was left out: texts, Python objects. */
  readonly skipped: Remarks;
  /** What was read in a way that the file does not state: of several dtypes one. */
  readonly assumed: Remarks;
}

/** More than so many are counted, not named. */
const TOLD = 100;

/** The value of `run.imported`. */
export function importedJson(
  format: string,
  skipped: readonly Remark[],
  assumed: readonly Remark[],
): JsonObject {
  return {
    format,
    skipped: skipped.slice(0, TOLD),
    skipped_count: skipped.length,
    assumed: assumed.slice(0, TOLD),
    assumed_count: assumed.length,
  };
}

/** Reads `run.imported`, whoever wrote it; null of a dump that was captured as one. */
export function readImported({ imported }: JsonObject): Imported | null {
  if (!isJsonObject(imported)) return null;
  const { format } = imported;
  return {
    format: typeof format === "string" ? format : "",
    skipped: remarks(imported, "skipped"),
    assumed: remarks(imported, "assumed"),
  };
}

function remarks(imported: JsonObject, key: string): Remarks {
  const list = imported[key];
  const first = (Array.isArray(list) ? (list as readonly unknown[]) : []).flatMap(
    (one): Remark[] => {
      const { name, why } = isJsonObject(one) ? one : {};
      return typeof name === "string" && typeof why === "string" ? [{ name, why }] : [];
    },
  );
  const count = imported[`${key}_count`];
  const told = typeof count === "number" && Number.isSafeInteger(count) ? count : 0;
  return { first, count: Math.max(first.length, told) };
}

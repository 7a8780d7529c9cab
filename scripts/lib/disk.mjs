// @ts-check
/** Free space, asked before it is used. */

import { existsSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { Failure } from "./failure.mjs";

/**
 * @param {string} path where it will be written; need not exist yet
 * @param {number} bytes
 * @param {string} purpose what needs it
 * @throws {Failure} where there is less
 */
export function demandSpace(path, bytes, purpose) {
  const free = freeSpace(path);
  if (free >= bytes) return;
  throw new Failure(
    "the disk is too full",
    [
      ["needed", `${gigabytes(bytes)} for ${purpose}`],
      ["free", `${gigabytes(free)} at ${path}`],
    ],
    "free some space, or put the repository on another disk",
  );
}

/** @param {string} path */
export function freeSpace(path) {
  let existing = path;
  while (!existsSync(existing)) existing = dirname(existing);
  const { bavail, bsize } = statfsSync(existing);
  return bavail * bsize;
}

/** @param {number} bytes */
export function gigabytes(bytes) {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

/** A folder of its own for each test file, removed at its end. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

export interface Scratch {
  readonly folder: string;
  /** A path that no file has yet. */
  path(suffix?: string): string;
  /** Writes a file and gives its path. */
  file(bytes: Uint8Array | string, suffix?: string): string;
}

/** Makes the folder; it is removed when the calling test file has run. */
export function scratch(): Scratch {
  const folder = mkdtempSync(join(tmpdir(), "npu-diff-test-"));
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  let files = 0;
  const path = (suffix = ".arrow"): string => {
    files += 1;
    return join(folder, `${files}${suffix}`);
  };
  return {
    folder,
    path,
    file(bytes, suffix) {
      const name = path(suffix);
      writeFileSync(name, bytes);
      return name;
    },
  };
}

/** The error that `run` throws. */
export function errorOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** A seeded generator of numbers in [0, 1) (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

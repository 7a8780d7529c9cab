/** A small dump with everything in it: several batches, chunks, dtypes, encodings, odd names. */

import type { DType } from "../../src/core/dtype.ts";
import { DTYPES } from "../../src/core/dtype.ts";
import type { RunMetadata } from "../../src/dump/dump.ts";
import { createDumpWriter } from "../../src/dump/write-dump.ts";
import { random } from "./scratch.ts";

export const SAMPLE_RUN: RunMetadata = {
  tool: { name: "test", version: "0" },
  id: "5a",
  dtype: "BF16",
  capture: { select: ["*"], sketch: { k: 4, seed: 1 } },
};

/** What {@link writeSample} writes: name, dtype, shape, bytes. */
export function sampleTensors(): (readonly [string, DType, readonly number[], Uint8Array])[] {
  const next = random(7);
  const make = (name: string, dtype: DType, shape: readonly number[]) => {
    const length = shape.reduce((product, axis) => product * axis, DTYPES[dtype].bytes);
    return [name, dtype, shape, Uint8Array.from({ length }, () => next() * 256)] as const;
  };
  return [
    make("input_ids", "I64", [5]),
    make("embed", "BF16", [5, 6]),
    make("layers.0.attn", "BF16", [5, 6]),
    make("layers.0", "F32", [5, 6]),
    make("layers.1", "F32", [5, 6]),
    make("logits", "BF16", [5, 11]),
    make("a scalar", "F64", []),
    make("no rows", "F64", [0, 3]),
    make("hostile \u001b[2J\u202e", "F8_E4M3", [3]),
    make("x".repeat(300), "BOOL", [2, 2]),
  ];
}

/** Writes the sample dump to `path`, each change of item size starting a batch. */
export function writeSample(path: string): void {
  const writer = createDumpWriter(path, SAMPLE_RUN);
  for (const [name, dtype, shape, bytes] of sampleTensors()) {
    writer.write({ name, dtype, shape, bytes, module: `model.${name}` });
  }
  writer.close({ tensors: 10 });
}

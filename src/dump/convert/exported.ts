/** Tensors of a dump as a format has them that knows names alone. */

import { counted } from "../../core/counted.ts";
import { NpuDiffError } from "../../core/errors.ts";
import { type Dump, dataBytes, type RunMetadata, type TensorEntry } from "../dump.ts";
import type { Remark } from "../imported.ts";
import type { OutputFile } from "../output-file.ts";

/** A tensor, and the name that says its place too. */
export interface Exported {
  readonly key: string;
  readonly entry: TensorEntry;
}

/** What a writer says of its work. */
export interface Written {
  readonly bytes: number;
  readonly written: readonly TensorEntry[];
  /** What the format cannot hold, and why. */
  readonly left: readonly Remark[];
}

/** Ends the name of a file until it is whole. */
export const PARTIAL = ".partial";

/** Bytes that are copied at a time. */
const BLOCK_BYTES = 2 ** 23;

/** What a reader would take for a place. */
const PLACED = /@(?:-1|\d{1,9})(?:\.\d{1,9})?$/u;

/** Why a tensor without whole data is left out. */
const NOT_DENSE = {
  stats: "only its statistics are stored",
  sketch: "only a sketch of it is stored",
} as const;

/**
 * Names the dense tensors of `dump`: `name` where it has one place, sample 0 at step 0; `name@sample.step` else. The
 * rest cannot be told by a name, and is left out.
 *
 * @param refused why the format cannot have an entry of that name, null where it can
 * @throws NpuDiffError `nothing-to-convert` where nothing remains of what there was
 */
export function exported(
  dump: Dump,
  refused: (key: string) => string | null,
): { readonly tensors: readonly Exported[]; readonly left: readonly Remark[] } {
  const places = new Map<string, number>();
  for (const { name } of dump.tensors) places.set(name, (places.get(name) ?? 0) + 1);
  const left: Remark[] = [];
  const tensors = dump.tensors.flatMap((entry): Exported[] => {
    const { name, sample, step, repeat, rank, encoding } = entry;
    const isAlone = places.get(name) === 1 && sample === 0 && step === 0 && !PLACED.test(name);
    const key = isAlone ? name : `${name}@${sample}.${step}`;
    const why =
      encoding !== "dense"
        ? NOT_DENSE[encoding]
        : repeat !== 0
          ? `repetition ${repeat} has no place in a name`
          : rank !== 0
            ? `rank ${rank} has no place in a name`
            : refused(key);
    if (why === null) return [{ key, entry }];
    left.push({ name: key, why });
    return [];
  });
  refuseNothing(dump, tensors.length, left);
  return { tensors, left };
}

/** @throws NpuDiffError `nothing-to-convert` where none of the tensors could be written */
export function refuseNothing(dump: Dump, written: number, left: readonly Remark[]): void {
  const [first] = left;
  if (written > 0 || first === undefined) return;
  throw new NpuDiffError("nothing-to-convert", {
    what: `${dump.file} holds nothing that the output can`,
    facts: [
      { label: "file", text: dump.file },
      { label: "found", text: `${counted(left.length, "tensor")}; ${first.name}: ${first.why}` },
      { label: "expected", text: "a tensor that is stored whole" },
    ],
    help: "capture it with --mode full, or convert it to .csv",
  });
}

/** The run of `dump`; of several ranks, which are one file now, without what would make it a part. */
export function exportedRun({ run, ranks }: Dump): RunMetadata {
  if (ranks === 1) return run;
  const { tool, id, dtype } = run;
  const rest = Object.entries(run).filter(([key]) => key !== "parallel");
  return { tool, id, dtype, ...Object.fromEntries(rest), gathered: run["parallel"] };
}

/** Copies the data of `entry` to `output`, block by block; `seen` looks at each. */
export function copyData(
  dump: Dump,
  entry: TensorEntry,
  output: OutputFile,
  seen: (block: Uint8Array) => void = () => undefined,
): void {
  const size = dataBytes(entry);
  for (let done = 0; done < size; done += BLOCK_BYTES) {
    const block = new Uint8Array(Math.min(BLOCK_BYTES, size - done));
    dump.read(entry, done, block);
    seen(block);
    output.write(block);
  }
}

/** Writes a file that is removed where `write` fails. */
export function wholly<T>(output: OutputFile, write: () => T): T {
  try {
    const result = write();
    output.commit();
    return result;
  } catch (error) {
    output.discard();
    throw error;
  }
}

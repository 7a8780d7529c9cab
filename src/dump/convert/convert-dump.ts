/** Writes a dump, whatever format it is read from, in another one. */

import { extname } from "node:path";
import { NpuDiffError } from "../../core/errors.ts";
import type { Dump } from "../dump.ts";
import type { Remark } from "../imported.ts";
import { readImported } from "../imported.ts";
import { openDump } from "../open-dump.ts";
import type { Written } from "./exported.ts";
import { writeArrow } from "./write-arrow.ts";
import { writeNpz } from "./write-npz.ts";
import { writeSafetensors } from "./write-safetensors.ts";
import { writeTable } from "./write-table.ts";

/** What has been written. */
export interface Conversion {
  /** The format of the input, as its users call it. */
  readonly from: string;
  readonly tensors: number;
  readonly bytes: number;
  /** What could not be read, and what the output cannot hold. */
  readonly left: readonly Remark[];
}

type Writer = (dump: Dump, path: string) => Written;

/** By the extension of the output. */
const WRITERS: Readonly<Record<string, Writer>> = {
  ".arrow": writeArrow,
  ".safetensors": writeSafetensors,
  ".npz": writeNpz,
  ".csv": writeTable,
};

/** Ends of the names of files that can be written. */
export const OUTPUTS: readonly string[] = Object.keys(WRITERS);

/**
 * Writes the dump at `input` as `output`, whose extension says the format: `.arrow`, `.safetensors`, `.npz`, or
 * `.csv` for a table of its tensors. Data goes block by block; no tensor is ever held whole.
 *
 * @throws NpuDiffError what {@link openDump} throws; `usage` where no format has that extension;
 *   `output-unwritable` where the output exists already; `nothing-to-convert` where it could hold no tensor at all
 */
export function convertDump(input: string, output: string): Conversion {
  const writer = WRITERS[extname(output).toLowerCase()];
  if (writer === undefined) {
    throw new NpuDiffError("usage", {
      what: "the output's name does not say its format",
      facts: [
        { label: "given", text: output },
        { label: "expected", text: `a name that ends in ${OUTPUTS.join(", ")}` },
      ],
      help: "give the output one of these extensions",
    });
  }
  const dump = openDump(input);
  try {
    const { bytes, written, left } = writer(dump, output);
    const imported = readImported(dump.run);
    return {
      from: imported?.format ?? "arrow",
      tensors: written.length,
      bytes,
      left: [...(imported?.skipped.first ?? []), ...left],
    };
  } finally {
    dump.close();
  }
}

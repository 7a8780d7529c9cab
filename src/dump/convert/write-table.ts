/** The tensors of a dump as a table, with their statistics. */

import { csvLine } from "../../core/csv.ts";
import type { Dump } from "../dump.ts";
import { OutputFile } from "../output-file.ts";
import { statsOf } from "../stats-of.ts";
import { PARTIAL, type Written, wholly } from "./exported.ts";

const COLUMNS = [
  ...["name", "kind", "layer", "module", "sample", "step", "repeat", "rank"],
  ...["dtype", "shape", "elements", "encoding"],
  ...["min", "max", "mean", "rms", "nan", "posinf", "neginf"],
];

/**
 * Writes a line for each tensor of `dump`: its place, dtype, shape, and statistics over its finite values: those that
 * are stored, else those of its data. They are empty where it has none: of sketches, and of integers beyond 2^53.
 *
 * @throws NpuDiffError `output-unwritable`
 */
export function writeTable(dump: Dump, path: string): Written {
  const output = new OutputFile(path, PARTIAL);
  return wholly(output, () => {
    output.write(Buffer.from(csvLine(COLUMNS)));
    for (const entry of dump.tensors) {
      const { name, kind, layer, module, sample, step, repeat, rank } = entry;
      const { dtype, shape, elements, encoding } = entry;
      const stats = entry.stats ?? statsOf(dump, entry);
      const line = csvLine([
        ...[name, kind, layer, module, sample, step, repeat, rank],
        ...[dtype, shape.join("x"), elements, encoding],
        ...(stats === null
          ? [null, null, null, null, null, null, null]
          : [stats.min, stats.max, stats.mean, stats.rms, stats.nan, stats.posInf, stats.negInf]),
      ]);
      output.write(Buffer.from(line));
    }
    return { bytes: output.position, written: dump.tensors, left: [] };
  });
}

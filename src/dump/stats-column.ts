/** The `stats` column: statistics of whole tensors. */

import { counted } from "../core/counted.ts";
import type { Field } from "./arrow-schema.ts";
import { floatsOf, integersOf, type LoadedBuffers, validityOf } from "./columns.ts";
import type { STATISTICS } from "./contract.ts";
import type { TensorStats } from "./dump.ts";
import type { RecordBatch } from "./record-batch.ts";

/** `min max mean rms` are NaN where they are null: a tensor may have no finite value. */
export function statsColumn(
  batch: RecordBatch,
  field: Field | undefined,
  loaded: LoadedBuffers,
): (row: number) => TensorStats | null {
  if (field === undefined) return () => null;
  const valid = validityOf(batch, field, loaded, true);
  const part = (name: (typeof STATISTICS)[number]): Field => {
    const child = field.children.find((candidate) => candidate.name === name) as Field;
    if (batch.node(child).length >= batch.rows) return child;
    throw batch.corrupt(`${field.name}.${name} is shorter than the batch`, {
      found: counted(batch.node(child).length, "value"),
      expected: `${batch.rows}`,
    });
  };
  const real = (name: (typeof STATISTICS)[number]): ((row: number) => number) => {
    const child = part(name);
    const there = validityOf(batch, child, loaded, true);
    const value = floatsOf(batch, child, loaded);
    return (row) => (there(row) ? value(row) : NaN);
  };
  const tally = (name: (typeof STATISTICS)[number]): ((row: number) => number) => {
    const child = part(name);
    const there = validityOf(batch, child, loaded, true);
    const value = integersOf(batch, child, loaded);
    return (row) => {
      const found = there(row) ? value(row) : null;
      if (found !== null && found >= 0) return found;
      throw batch.corrupt(`${field.name}.${name} is no count`, {
        found: `${found} in row ${row}`,
        expected: "0 or more",
      });
    };
  };
  const [min, max, mean, rms] = [real("min"), real("max"), real("mean"), real("rms")];
  const [nan, posInf, negInf] = [tally("nan"), tally("posinf"), tally("neginf")];
  return (row) => {
    if (!valid(row)) return null;
    return {
      min: min(row),
      max: max(row),
      mean: mean(row),
      rms: rms(row),
      nan: nan(row),
      posInf: posInf(row),
      negInf: negInf(row),
    };
  };
}

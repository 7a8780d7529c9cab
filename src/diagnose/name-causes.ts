/** Names what kind of error an origin holds, from the data themselves. */

import type { CauseResult, Origin } from "../core/groups.ts";
import type { JudgedUnit } from "../judge/judge-tensor.ts";
import type { Specimen } from "../measure/specimen.ts";
import type { CauseId } from "./cause-texts/ids.ts";
import { causeMessage } from "./cause-texts/index.ts";
import type { Named } from "./causes/cause.ts";
import { classify } from "./causes/index.ts";
import { isSilent } from "./origin.ts";

/** Modules that are looked at: each costs another reading of its tensor. */
const MOST_MODULES = 8;

/** Causes of origins, by what their specimens look like. */
export class CauseNamer {
  private readonly units: readonly JudgedUnit[];
  private readonly read: (unit: JudgedUnit["measured"]["unit"]) => Specimen | null;
  private left = MOST_MODULES;

  /** @param read null where a tensor cannot be read as numbers. */
  constructor(
    units: readonly JudgedUnit[],
    read: (unit: JudgedUnit["measured"]["unit"]) => Specimen | null,
  ) {
    this.units = units;
    this.read = read;
  }

  /** The cause of `origin` as a list of none or one; none beyond the eighth module that is asked for. */
  causesOf(origin: Origin): readonly CauseResult[] {
    const unit = this.find(origin);
    if (unit === undefined || this.left === 0) return [];
    this.left -= 1;
    const { rows } = unit.measured.measurement?.figures ?? { rows: 0 };
    if (this.isSkippedLayer(unit)) {
      return [caused("cause/skipped", { confidence: 1, detail: { rows } })];
    }
    const specimen = this.read(unit.measured.unit);
    const found = specimen === null ? null : classify(specimen);
    return found === null ? [] : [caused(found.id, found)];
  }

  private find({ tensor, step }: Origin): JudgedUnit | undefined {
    return this.units.find(({ measured: { unit } }) => unit.name === tensor && unit.group === step);
  }

  /** Whether both blocks of a layer hand over nothing: its own sum is then right, and says nothing. */
  private isSkippedLayer({ measured: { unit } }: JudgedUnit): boolean {
    const blocks = this.units.filter(
      ({ measured: { unit: other } }) =>
        other.group === unit.group &&
        other.layer === unit.layer &&
        (other.role === "attn" || other.role === "mlp"),
    );
    return unit.role === "layer" && blocks.length === 2 && blocks.every(isSilent);
  }
}

function caused(id: CauseId, { confidence, detail }: Named): CauseResult {
  return { id, confidence, evidence: causeMessage(id, "en", detail) ?? "", detail };
}

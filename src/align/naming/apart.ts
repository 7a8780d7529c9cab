/**
 * Canonical names that stand for other modules on the two sides. What a block hands out is known from all the
 * modules of a file; a file that holds fewer of them may be read otherwise.
 */

import { tensorName } from "../../dump/contract.ts";
import type { Dump } from "../../dump/dump.ts";
import { bareName, canonicalName, placedName } from "../../dump/foreign/canonical-names.ts";
import { readImported } from "../../dump/imported.ts";
import type { Renaming } from "./mapped-dump.ts";

/** Names that each side gives up: its tensors are called by their modules again. */
export interface Apart {
  readonly reference: readonly Renaming[];
  readonly candidate: readonly Renaming[];
}

/**
 * Names that two dumps share and that are not of one module:
 *
 * - `layers.0.attn` is what a norm behind the block hands out (Gemma, OLMo 2, GLM 4) in one, and what the block
 *   itself does in the other, whose file holds no such norm;
 * - of one file two tensors claim the name, so that only the path tells which of them the other side's is.
 *
 * @param mapped names that a map gives: whoever wrote it knows what they stand for
 */
export function namesApart(reference: Dump, candidate: Dump, mapped: ReadonlySet<string>): Apart {
  const [mine, theirs] = [modulesOf(reference), modulesOf(candidate)];
  const given: { reference: Renaming[]; candidate: Renaming[] } = { reference: [], candidate: [] };
  for (const [name, a] of mine.byName) {
    const b = theirs.byName.get(name);
    if (b === undefined || bareName(a) === bareName(b) || mapped.has(name)) continue;
    if (mine.imported && (isBehindBlock(name, a, b) || theirs.contested.has(name))) {
      giveUp(given.reference, name, a);
    } else if (theirs.imported && (isBehindBlock(name, b, a) || mine.contested.has(name))) {
      giveUp(given.candidate, name, b);
    }
  }
  return given;
}

/** Where a path is the canonical name itself there is no other to go back to. */
function giveUp(renamings: Renaming[], name: string, path: string): void {
  if (path === name) return;
  renamings.push({ name: path, from: [name], how: { kind: "same" }, at: "apart" });
}

interface Modules {
  /** Whether another tool wrote the file: of a capture of ours the names are the contract's. */
  readonly imported: boolean;
  /** Paths of modules by the canonical names of their outputs. */
  readonly byName: ReadonlyMap<string, string>;
  /** Canonical names that tensors under other names could have as well. */
  readonly contested: ReadonlySet<string>;
}

function modulesOf({ tensors, run }: Dump): Modules {
  const imported = readImported(run) !== null;
  const byName = new Map<string, string>();
  const claims = new Map<string, string>();
  for (const { name, module } of tensors) {
    const path = module === null ? name : placedName(module).name;
    if (isOfLayer(name)) {
      if (!byName.has(name)) byName.set(name, path);
    } else if (imported) {
      const claimed = canonicalName(bareName(path));
      if (claimed !== null) claims.set(claimed, path);
    }
  }
  // Another output of the same module claims nothing.
  const contested = [...claims].filter(
    ([name, path]) => bareName(byName.get(name) ?? path) !== bareName(path),
  );
  return { imported, byName, contested: new Set(contested.map(([name]) => name)) };
}

/** Of the logits, the embedding and the last norm two names for one tensor are common. */
function isOfLayer(name: string): boolean {
  const { role, layer } = tensorName(name);
  return role !== "other" && layer !== null;
}

/** Whether `block` is the path of the block that `name` stands for, and `other` that of a norm. */
function isBehindBlock(name: string, block: string, other: string): boolean {
  return canonicalName(bareName(block)) === name && bareName(other).endsWith("norm");
}

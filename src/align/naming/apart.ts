/**
 * Canonical names that stand for other modules on the two sides. What a block hands out is known from all the
 * modules of a file; a file that holds fewer of them may be read otherwise.
 */

import { tensorName } from "../../dump/contract.ts";
import type { Dump } from "../../dump/dump.ts";
import { bareName, canonicalName, placedName } from "../../dump/foreign/canonical-names.ts";
import { readImported } from "../../dump/imported.ts";
import { isJsonObject } from "../../dump/json.ts";
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
 * - of one file two tensors claim the name, so that only the path tells which of them the other side's is;
 * - `embed` is the stream that enters the first layer in a capture of ours, and what the embedding hands out in a file
 *   of another tool, of a model that scales it or adds positions to it.
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
  if (!mapped.has("embed")) {
    if (isBeforeStream(reference, candidate)) giveUpEmbedding(given.reference, mine);
    else if (isBeforeStream(candidate, reference)) giveUpEmbedding(given.candidate, theirs);
  }
  return given;
}

function giveUpEmbedding(renamings: Renaming[], { embed }: Modules): void {
  if (embed !== null) giveUp(renamings, "embed", embed);
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
  /** The path of what is called `embed`. */
  readonly embed: string | null;
}

function modulesOf({ tensors, run }: Dump): Modules {
  const imported = readImported(run) !== null;
  const byName = new Map<string, string>();
  const claims = new Map<string, string>();
  let embed: string | null = null;
  for (const { name, module } of tensors) {
    const path = module === null ? name : placedName(module).name;
    if (name === "embed") embed ??= path;
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
  return { imported, byName, contested: new Set(contested.map(([name]) => name)), embed };
}

/** Modules between an embedding and the first layer: learned positions, a norm, a projection. */
const BEHIND_EMBEDDING =
  /^(?:wpe|embed_positions|position_embeddings|word_embeddings_layernorm|project_in)$/u;

/** Models that have such a module, where a file does not hold its output. */
const WITH_POSITIONS = /^(?:GPT2|GPTNeo(?!X)|GPTBigCode|OPT|Bloom)/u;

/** Factors of the embedding, by their names in configurations. */
const FACTORS = ["embedding_multiplier", "scale_emb"] as const;

/** Whether `embed` of `file` is what the embedding hands out, and that of `capture` what a layer is given instead. */
function isBeforeStream(file: Dump, capture: Dump): boolean {
  if (readImported(file.run) === null || readImported(capture.run) !== null) return false;
  const { model } = capture.run;
  const facts = isJsonObject(model) ? model : {};
  const { architecture } = facts;
  return (
    FACTORS.some((key) => typeof facts[key] === "number" && facts[key] !== 1) ||
    (typeof architecture === "string" && WITH_POSITIONS.test(architecture)) ||
    file.tensors.some(({ module }) => module !== null && BEHIND_EMBEDDING.test(bareName(module)))
  );
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

/** The dumps of all ranks of one run, as one dump. */

import type { FileDump } from "./arrow-dump.ts";
import { assemble, type TensorKey, tensorKey } from "./assemble.ts";
import type { Assembly } from "./assembly.ts";
import type { Dump, Located, RunMetadata, TensorEntry } from "./dump.ts";
import { isJsonObject, type JsonObject } from "./json.ts";

/**
 * Puts the ranks of one run together. The set keeps `dumps` and closes them.
 *
 * @param name what to call it: the pattern of the files' names.
 * @param dumps all ranks, in their order.
 * @throws NpuDiffError the codes of {@link assemble}
 */
export function openRankSet(name: string, dumps: readonly [FileDump, ...FileDump[]]): Dump {
  const [{ part, run }] = dumps;
  const stageRanks = dumps.length / (part?.pp ?? 1);
  return new RankSet(name, dumps, runOf(run), assemble({ dumps, stageRanks }));
}

/** The run as rank 0 tells it, without what is so of one rank alone. */
function runOf(run: RunMetadata): RunMetadata {
  const without = (object: JsonObject, key: string): JsonObject =>
    Object.fromEntries(Object.entries(object).filter(([name]) => name !== key));
  const parallel = isJsonObject(run["parallel"]) ? without(run["parallel"], "rank") : {};
  const { tool, id, dtype } = run;
  return { tool, id, dtype, ...without(run, "shards"), parallel };
}

class RankSet implements Dump {
  readonly file: string;
  readonly bytes: number;
  readonly run: RunMetadata;
  readonly end: Dump["end"];
  readonly repaired: boolean;
  readonly ranks: number;
  readonly tensors: readonly TensorEntry[];
  readonly #dumps: readonly FileDump[];
  readonly #assemblies: ReadonlyMap<TensorKey, Assembly>;

  constructor(
    name: string,
    dumps: readonly FileDump[],
    run: RunMetadata,
    assemblies: ReadonlyMap<TensorKey, Assembly>,
  ) {
    this.file = name;
    this.bytes = dumps.reduce((sum, { bytes }) => sum + bytes, 0);
    this.run = run;
    this.end = dumps[0]?.end ?? {};
    this.repaired = dumps.some(({ repaired }) => repaired);
    this.ranks = dumps.length;
    this.tensors = [...assemblies.values()].map(({ entry }) => entry);
    this.#dumps = dumps;
    this.#assemblies = assemblies;
  }

  read(entry: TensorEntry, offset: number, target: Uint8Array): void {
    this.#assemblyOf(entry).read(offset, target);
  }

  locate(entry: TensorEntry, offset: number, length: number): Located {
    return this.#assemblyOf(entry).locate(offset, length);
  }

  close(): void {
    for (const dump of this.#dumps) dump.close();
  }

  /** By what it is called: whoever asks may have copied the entry. */
  #assemblyOf(entry: TensorEntry): Assembly {
    const assembly = this.#assemblies.get(tensorKey(entry));
    if (assembly === undefined) throw new RangeError(`${entry.name} is no tensor of ${this.file}`);
    return assembly;
  }
}

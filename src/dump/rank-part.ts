/** Which part of its run a file is (`run.parallel`). */

import { MAX_RANKS } from "./bounds.ts";
import type { RunMetadata } from "./dump.ts";
import type { DumpFile } from "./dump-file.ts";
import { isJsonObject } from "./json.ts";
import { Shards } from "./shards.ts";

/** One rank of a run of several. */
export interface RankPart {
  readonly rank: number;
  readonly worldSize: number;
  /** Stages of the pipeline: each holds its own layers, by `worldSize / pp` ranks. */
  readonly pp: number;
  /** `tp 2, pp 1, ep 1`: what all ranks must say alike. */
  readonly layout: string;
  readonly shards: Shards;
}

/**
 * Reads `run.parallel` and `run.shards`; null where the run had one rank, or says nothing of it.
 *
 * @throws NpuDiffError `dump-metadata` where the numbers cannot be, `rank-missing` where the file does not say which
 *   rank it is
 */
export function readRankPart(file: DumpFile, run: RunMetadata): RankPart | null {
  const parallel = run["parallel"] ?? {};
  if (!isJsonObject(parallel)) throw wrong(file, "parallel", parallel, "an object");
  const size = (key: string, most: number): number => {
    const value = parallel[key] ?? 1;
    if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= most) {
      return value;
    }
    throw wrong(file, `parallel.${key}`, value, `a whole number from 1 to ${most}`);
  };
  const worldSize = size("world_size", MAX_RANKS);
  if (worldSize === 1) return null;
  const [tp, pp, ep] = [size("tp", worldSize), size("pp", worldSize), size("ep", worldSize)];
  if (worldSize % pp !== 0) {
    throw wrong(file, "parallel.pp", pp, `a divisor of the world size ${worldSize}`);
  }
  const rank = parallel["rank"] ?? null;
  if (rank === null) {
    throw file.fail(
      "rank-missing",
      `${file.name} does not say which rank of its run it is`,
      { found: `world_size ${worldSize}, no rank`, expected: "run.parallel.rank" },
      "write one file a rank, each with run.parallel.rank",
    );
  }
  if (typeof rank !== "number" || !Number.isInteger(rank) || rank < 0 || rank >= worldSize) {
    throw wrong(file, "parallel.rank", rank, `a whole number from 0 to ${worldSize - 1}`);
  }
  const layout = `tp ${tp}, pp ${pp}, ep ${ep}`;
  return { rank, worldSize, pp, layout, shards: Shards.read(file, run) };
}

function wrong(file: DumpFile, key: string, found: unknown, expected: string): Error {
  return file.fail("dump-metadata", `${file.name} does not say how its run was shared out`, {
    found: `run.${key}: ${JSON.stringify(found)}`,
    expected,
  });
}

/** Whether some files are the ranks of one run, each once and none lacking. */

import { counted } from "../core/counted.ts";
import { type ErrorFact, NpuDiffError } from "../core/errors.ts";
import type { DumpHead } from "./arrow-dump.ts";
import { describeRank } from "./rank-errors.ts";
import type { RankPart } from "./rank-part.ts";

/** A file that says which rank it is. */
type RankHead = DumpHead & { readonly part: RankPart };

/**
 * The ranks of one run in their order.
 *
 * @param name what to call them: the pattern of the files' names.
 * @throws NpuDiffError `rank-missing` where ranks are not there, `ranks-differ` where one is there twice, or they are of
 *   several runs or of none
 */
export function inRankOrder(
  name: string,
  heads: readonly [DumpHead, ...DumpHead[]],
): readonly [DumpHead, ...DumpHead[]] {
  const ranks = heads.map((head) => asRank(head, heads));
  ranks.sort((a, b) => a.part.rank - b.part.rank);
  const [first, ...others] = ranks as [RankHead, ...RankHead[]];
  for (const other of others) refuseOtherRun(first, other);
  refuseDoubled(ranks);
  refuseMissing(name, ranks, first.part.worldSize);
  return [first, ...others];
}

function told({ file, part }: DumpHead): Parameters<typeof describeRank>[0] {
  return { file: file.name, part };
}

function asRank(dump: DumpHead, dumps: readonly DumpHead[]): RankHead {
  const { part } = dump;
  if (part !== null) return dump as RankHead;
  throw new NpuDiffError("ranks-differ", {
    what: `${dump.file.name} is a whole dump, not a rank of several`,
    facts: [
      describeRank(told(dump), "run.parallel: no world_size beyond 1"),
      { label: "beside", text: `${dumps.length - 1} more` },
    ],
    help: "give a pattern that matches the ranks of one run alone, such as 'npu.rank*.arrow'",
  });
}

/** Refuses ranks of two runs: all of one run have its id. */
function refuseOtherRun(first: RankHead, other: RankHead): void {
  const facts = ({ run, part }: RankHead): readonly string[] => [
    `id ${run.id}`,
    `world size ${part.worldSize}`,
    part.layout,
    run.dtype,
  ];
  const [mine, theirs] = [facts(first), facts(other)];
  const at = mine.findIndex((fact, i) => fact !== theirs[i]);
  if (at === -1) return;
  throw new NpuDiffError("ranks-differ", {
    what: "the ranks are not of one run",
    facts: [describeRank(told(first), mine[at] ?? ""), describeRank(told(other), theirs[at] ?? "")],
    help: "give the files of one run; whoever writes them gives all ranks the same run.id",
  });
}

function refuseDoubled(ranks: readonly RankHead[]): void {
  for (const [i, dump] of ranks.entries()) {
    const next = ranks[i + 1];
    if (next?.part.rank !== dump.part.rank) continue;
    throw new NpuDiffError("ranks-differ", {
      what: `rank ${dump.part.rank} is there twice`,
      facts: [describeRank(told(dump), ""), describeRank(told(next), "")],
      help: "give one file of each rank",
    });
  }
}

/** Longest list of ranks in a message. */
const MAX_SHOWN = 8;

function refuseMissing(name: string, ranks: readonly RankHead[], worldSize: number): void {
  if (ranks.length === worldSize) return;
  const there = new Set(ranks.map(({ part }) => part.rank));
  const missing = Array.from({ length: worldSize }, (_, rank) => rank).filter(
    (rank) => !there.has(rank),
  );
  const list = (numbers: readonly number[]): string =>
    `${numbers.slice(0, MAX_SHOWN).join(", ")}${numbers.length > MAX_SHOWN ? " …" : ""}`;
  const facts: readonly ErrorFact[] = [
    { label: "run", text: counted(worldSize, "rank") },
    { label: "found", text: `${name}   rank ${list([...there])}` },
    { label: "missing", text: `rank ${list(missing)}` },
  ];
  throw new NpuDiffError("rank-missing", {
    what: `${name} holds a part of its run only`,
    facts,
    help: "put the files of all ranks into one folder as NAME.rank0.arrow … and give the quoted pattern 'NAME.rank*.arrow'",
  });
}

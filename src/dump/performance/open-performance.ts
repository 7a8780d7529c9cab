/** Opens what holds performance figures, by its content and not by its name. */

import { NpuDiffError } from "../../core/errors.ts";
import type { Dump } from "../dump.ts";
import { DumpFile } from "../dump-file.ts";
import { isFolder } from "../folder.ts";
import { isDumpJson } from "../foreign/open-foreign.ts";
import { openDump } from "../open-dump.ts";
import { dumpPaths } from "../rank-paths.ts";
import { isPerformance, isPerformanceOnly, readDumpPerformance } from "./perf-tensors.ts";
import type { PerformanceSource } from "./source.ts";
import { readVllmBench } from "./vllm-bench.ts";

/** What the file is meant to be, for messages about one that cannot be it. */
const KIND = {
  expected: "performance figures",
  help: "give the path of a dump, or of the JSON of vllm bench serve --save-result",
  whenEmpty: "measure it again, and look for why its writer stopped (a full disk?)",
};

/** Bytes at the beginning in which JSON shows its brace. */
const HEAD_BYTES = 64;

/**
 * Reads the performance in the file at `path`: of a dump its `perf.*`, else the JSON of `vllm bench serve`.
 *
 * @param alone whether a dump must hold nothing else
 * @throws NpuDiffError `performance-invalid` where the file holds none or contradicts itself, `usage` where it
 *   must hold nothing else and does, and whatever the dump itself is refused for.
 */
export function openPerformance(
  path: string,
  { alone = false }: { readonly alone?: boolean } = {},
): PerformanceSource {
  const json = benchJsonAt(path);
  if (json !== null) {
    try {
      return readVllmBench(json);
    } finally {
      json.close();
    }
  }
  const dump = openDump(path);
  try {
    if (alone && !isPerformanceOnly(dump)) throw holdsMore(path, dump);
    const performance = readDumpPerformance(dump);
    if (performance !== null) return performance;
    throw new NpuDiffError("performance-invalid", {
      what: `${dump.file} holds no performance figures`,
      facts: [
        { label: "file", text: path },
        { label: "found", text: "no perf.* of the whole run that this version knows" },
        { label: "expected", text: "such as perf.ttft_ms" },
      ],
      help: "measure them with npu-dump bench, and give its file",
    });
  } finally {
    dump.close();
  }
}

/** Whether the file at `path` is JSON, by its first bytes, and no dump. */
export function holdsBenchJson(path: string): boolean {
  const file = benchJsonAt(path);
  file?.close();
  return file !== null;
}

/** The open file at `path`, where it is JSON and no dump of another tool. */
function benchJsonAt(path: string): DumpFile | null {
  if (isFolder(path)) return null;
  const { paths } = dumpPaths(path);
  const [only = path] = paths;
  const file = DumpFile.open(only, KIND);
  const head = file.read(0, Math.min(HEAD_BYTES, file.size));
  const isJson = /^\s*[{[]/.test(Buffer.from(head).toString("latin1"));
  if (paths.length === 1 && isJson && !isDumpJson(file)) return file;
  file.close();
  return null;
}

function holdsMore(path: string, dump: Dump): NpuDiffError {
  const more = dump.tensors.find(({ name }) => !isPerformance(name));
  return new NpuDiffError("usage", {
    what: "of two dumps with tensors, one tensor is shown at a time",
    facts: [
      { label: "file", text: path },
      { label: "found", text: more?.name ?? "no tensor" },
      { label: "expected", text: "perf.* and nothing else" },
    ],
    help: "add --tensor NAME for one of them in depth; npu-diff compare says which are at fault",
  });
}

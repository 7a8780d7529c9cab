// @ts-check
/**
 * Opens damaged files one after another and reads the ends of every tensor.
 * A line on descriptor 3 for each: its number before, its outcome behind.
 */

import { readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { openDump } from "../../dist/dump/open-dump.js";
import { damaged } from "./mutations.mjs";

const PROGRESS = 3;
const END_BYTES = 64;

/**
 * @typedef {object} Work
 * @property {string} folder a copy of the format's folder, which is this process's own
 * @property {readonly string[]} files in it, those that are damaged
 * @property {readonly string[]} roots in it, files that name others: opened whatever is damaged
 * @property {readonly string[]} others paths of files of every format
 * @property {number} seed
 * @property {number} from
 * @property {number} to
 */

/** @type {Work} */
const work = JSON.parse(process.argv[2] ?? "{}");
const files = work.files.map((name) => new Uint8Array(readFileSync(join(work.folder, name))));
const others = work.others.map((path) => new Uint8Array(readFileSync(path)));

for (let index = work.from; index < work.to; index += 1) {
  writeSync(PROGRESS, `${index}\n`);
  const { file, bytes } = damaged(files, others, work.seed, index);
  const name = work.files[file] ?? "";
  const path = join(work.folder, name);
  writeFileSync(path, bytes);
  const start = process.cpuUsage();
  const outcomes = [name, ...work.roots.filter((root) => root !== name)].map((one) =>
    outcomeOf(join(work.folder, one)),
  );
  const { user, system } = process.cpuUsage(start);
  writeFileSync(path, files[file] ?? bytes);
  const peak = process.resourceUsage().maxRSS * 1024;
  writeSync(PROGRESS, `${JSON.stringify({ outcomes, seconds: (user + system) / 1e6, peak })}\n`);
}

/** @param {string} path */
function outcomeOf(path) {
  try {
    const dump = openDump(path);
    try {
      for (const entry of dump.tensors) {
        if (entry.encoding !== "dense") continue;
        const size = entry.elements * (entry.dtype === "BOOL" ? 1 : itemBytes(entry.dtype));
        const length = Math.min(END_BYTES, size);
        dump.read(entry, 0, new Uint8Array(length));
        dump.read(entry, size - length, new Uint8Array(length));
      }
    } finally {
      dump.close();
    }
    return "ok";
  } catch (error) {
    const { name, code, stack } = /** @type {any} */ (error);
    // A message of its own would stand in an error that shows what it found.
    return name === "NpuDiffError" && typeof code === "string" && code !== "internal"
      ? code
      : `!${String(stack ?? error).slice(0, 2000)}`;
  }
}

/** @param {string} dtype */
function itemBytes(dtype) {
  if (dtype.startsWith("F8")) return 1;
  return Number(/\d+$/.exec(dtype)?.[0]) / 8;
}

/** Where the files of a run lie: one file, or a folder as lm-evaluation-harness leaves it. */

import type { Dirent } from "node:fs";
import { basename, dirname, join } from "node:path";
import { NpuDiffError } from "../../core/errors.ts";
import { isFolder, readFolder } from "../folder.ts";

/** A folder with more entries is not one that was made for results. */
const MAX_ENTRIES = 65_536;

/** `samples_TASK_DATE.jsonl`, as `lm_eval --log_samples` writes it. */
const SAMPLES =
  /^samples_(?<task>.+)_(?<date>\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d+)?)\.jsonl$/;

const SUFFIX = ".jsonl";

/** What the name of a file says; null where it is not the harness's. */
export function namedSamples(
  path: string,
): { readonly task: string; readonly date: string } | null {
  const { task, date } = SAMPLES.exec(basename(path))?.groups ?? {};
  return task === undefined || date === undefined ? null : { task, date };
}

/**
 * The files of the run at `path`: itself, or what lies in that folder, or in the
 * one folder below it that has any, as the harness makes one for the model.
 *
 * @throws NpuDiffError `results-ambiguous` where several folders have some, or one has a task twice;
 *   `file-not-found` where there is none
 */
export function taskFilesAt(path: string): readonly string[] {
  if (!isFolder(path)) return [path];
  const here = jsonLinesIn(path);
  if (here.length > 0) return here;
  const below = entriesIn(path)
    .filter((entry) => entry.isDirectory())
    .map((entry) => ({ name: entry.name, files: jsonLinesIn(join(path, entry.name)) }))
    .filter(({ files }) => files.length > 0);
  const [only, other] = below;
  if (only === undefined) {
    throw new NpuDiffError("file-not-found", {
      what: "the folder holds no task results",
      facts: [
        { label: "folder", text: path },
        { label: "expected", text: "samples_*.jsonl, or other files of JSON lines" },
      ],
      help: "run lm_eval with --log_samples and --output_path, and give the folder that it makes",
    });
  }
  if (other !== undefined) {
    throw new NpuDiffError("results-ambiguous", {
      what: "the folder holds the results of several models",
      facts: [
        { label: "folder", text: path },
        { label: "found", text: below.map(({ name }) => name).join(", ") },
      ],
      help: "give the folder of one of them",
    });
  }
  return only.files;
}

/** The harness's samples in a folder; where it has none of them, all files of JSON lines. */
function jsonLinesIn(folder: string): readonly string[] {
  const names = entriesIn(folder)
    .filter((entry) => !entry.isDirectory() && entry.name.endsWith(SUFFIX))
    .map(({ name }) => name);
  const samples = names.filter((name) => namedSamples(name) !== null);
  const seen = new Map<string, string>();
  for (const name of samples) {
    const task = namedSamples(name)?.task ?? "";
    const earlier = seen.get(task);
    if (earlier !== undefined) {
      throw new NpuDiffError("results-ambiguous", {
        what: `the folder holds task ${task} twice`,
        facts: [
          { label: "folder", text: folder },
          { label: "found", text: `${earlier}, ${name}` },
          { label: "expected", text: "one file a task" },
        ],
        help: "give one of the files, or move one run to a folder of its own; several runs of one side are given by --reference-run and --candidate-run",
      });
    }
    seen.set(task, name);
  }
  return (samples.length > 0 ? samples : names).map((name) => join(folder, name));
}

function entriesIn(folder: string): readonly Dirent[] {
  const entries = readFolder(folder, MAX_ENTRIES);
  if (entries.length <= MAX_ENTRIES) return entries;
  throw new NpuDiffError("file-unreadable", {
    what: "the folder holds too many entries for one of results",
    facts: [
      { label: "folder", text: folder },
      { label: "found", text: `more than ${MAX_ENTRIES}` },
    ],
    help: "give the folder that lm_eval made, or a file of it",
  });
}

/** The harness's summary beside a samples file: `results_DATE.json`, or named after `--output_path`; null without. */
export function summaryOf(path: string, date: string): string | null {
  const folder = dirname(path);
  const names = entriesIn(folder)
    .map(({ name }) => name)
    .filter((name) => name.endsWith(`_${date}.json`));
  const name = names.find((one) => one === `results_${date}.json`) ?? names[0];
  return name === undefined ? null : join(folder, name);
}

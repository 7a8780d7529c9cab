/** `results_*.json` of lm-evaluation-harness: what it says about its tasks beside the samples. */

import { counted } from "../../core/counted.ts";
import { reasonOf } from "../../core/errors.ts";
import { DumpFile } from "../dump-file.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import { parsePythonJson } from "../python-json.ts";
import { MAX_LINE_BYTES } from "./json-lines.ts";

/** What the summary says of one task; null where it says nothing. */
export interface TaskSummary {
  readonly version: string | null;
  /** Documents that were evaluated. */
  readonly items: number | null;
  /** Whether more of a metric is better. */
  higherIsBetter(metric: string): boolean | null;
}

const KIND = {
  expected: "the results_*.json of lm_eval",
  help: "put the results_*.json that belongs to the samples beside them, or remove it",
  whenEmpty: "run the evaluation again, or remove the empty file",
};

/**
 * @throws NpuDiffError `results-invalid` where the file is no JSON object, and the codes of opening a file
 */
export function readSummary(path: string): (task: string) => TaskSummary {
  const file = DumpFile.open(path, KIND);
  try {
    const content = parseSummary(file);
    return (task) => {
      const version = memberOf(content, "versions", task);
      const samples = memberOf(content, "n-samples", task);
      const directions = memberOf(content, "higher_is_better", task);
      const effective = isJsonObject(samples) ? samples["effective"] : null;
      return {
        version:
          typeof version === "string" || typeof version === "number" ? String(version) : null,
        items: typeof effective === "number" ? effective : null,
        higherIsBetter: (metric) => {
          const better =
            isJsonObject(directions) && Object.hasOwn(directions, metric)
              ? directions[metric]
              : null;
          return typeof better === "boolean" ? better : null;
        },
      };
    };
  } finally {
    file.close();
  }
}

function parseSummary(file: DumpFile): JsonObject {
  const invalid = (found: string, cause?: unknown) =>
    file.fail(
      "results-invalid",
      `${file.name} is not a JSON object`,
      { found, expected: KIND.expected },
      KIND.help,
      cause,
    );
  if (file.size > MAX_LINE_BYTES) throw invalid(counted(file.size, "byte"));
  let value: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(file.read(0, file.size));
    value = parsePythonJson(text);
  } catch (cause) {
    throw invalid(reasonOf(cause), cause);
  }
  if (!isJsonObject(value)) throw invalid(Array.isArray(value) ? "an array" : typeof value);
  return value;
}

function memberOf(content: JsonObject, group: string, task: string): unknown {
  const inner = Object.hasOwn(content, group) ? content[group] : null;
  return isJsonObject(inner) && Object.hasOwn(inner, task) ? inner[task] : null;
}

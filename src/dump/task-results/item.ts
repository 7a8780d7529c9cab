/** One line of task results: lm-evaluation-harness's, or plain. */

import { hash } from "node:crypto";
import type { DumpFile } from "../dump-file.ts";
import type { JsonObject } from "../json.ts";
import type { ItemContent } from "./task-run.ts";

/** Hexadecimal digits of a hash that are kept: two texts of one item differ in them but once in 2⁴⁸. */
const HASH_DIGITS = 12;

/** The metric of plain lines that hold an answer and no score. */
const ANSWER_METRIC = "prediction = target";

/** Metrics of the harness of which less is better, for files without its summary. */
const LOWER_IS_BETTER: ReadonlySet<string> = new Set([
  "perplexity",
  "word_perplexity",
  "byte_perplexity",
  "bits_per_byte",
  "brier_score",
  "ter",
  "wer",
  "cer",
]);

/** A metric of which less is better would turn the verdict round. */
export function isLowerBetter(metric: string): boolean {
  return LOWER_IS_BETTER.has(metric.toLowerCase());
}

/** Reads lines of one file. */
export class ItemReader {
  readonly #file: DumpFile;

  constructor(file: DumpFile) {
    this.#file = file;
  }

  /** Whether lm-evaluation-harness wrote it. */
  static isHarness(value: JsonObject): boolean {
    return Array.isArray(own(value, "metrics")) && typeof own(value, "filter") === "string";
  }

  /** Name of the task, where the line has one. */
  task(value: JsonObject): string | null {
    const task = own(value, "task");
    return typeof task === "string" && task !== "" ? task : null;
  }

  filter(value: JsonObject): string | null {
    return ItemReader.isHarness(value) ? String(own(value, "filter")) : null;
  }

  /** The metrics of a line, the task's own first. */
  metrics(value: JsonObject): readonly string[] {
    if (ItemReader.isHarness(value)) return (own(value, "metrics") as unknown[]).map(String);
    return [
      ...["correct", "score"].filter((name) => Object.hasOwn(value, name)),
      ...(isScalar(own(value, "prediction")) && isScalar(own(value, "target"))
        ? [ANSWER_METRIC]
        : []),
    ];
  }

  /**
   * The id of an item: `id`, or the harness's `doc_id`.
   *
   * @throws NpuDiffError `results-invalid` where there is none
   */
  id(value: JsonObject, line: number): string {
    const id = own(value, "id") ?? own(value, "doc_id");
    if ((typeof id === "string" && id !== "") || (typeof id === "number" && Number.isFinite(id))) {
      return String(id);
    }
    throw this.#file.fail(
      "results-invalid",
      `${this.#file.name}: line ${line} does not say which item it is`,
      {
        found: id === undefined ? "neither id nor doc_id" : `an id that is ${nameOf(id)}`,
        expected: "an id that is a text or a number",
      },
      'give every line an id, such as {"id": "q1", "correct": true}',
    );
  }

  /** The group of an item that is not independent of others: `group`, or `doc_id` beside an `id`. */
  group(value: JsonObject): string | null {
    const group =
      own(value, "group") ?? (own(value, "id") === undefined ? null : own(value, "doc_id"));
    return isScalar(group) ? String(group) : null;
  }

  /**
   * The score of an item by `metric`, 0 to 1.
   *
   * @throws NpuDiffError `score-invalid` where it is none
   */
  score(value: JsonObject, metric: string, line: number): number {
    if (metric === ANSWER_METRIC) {
      const [prediction, target] = [own(value, "prediction"), own(value, "target")];
      if (!isScalar(prediction) || !isScalar(target)) {
        throw this.#invalidScore(metric, line, "a line without prediction and target");
      }
      return String(prediction).trim() === String(target).trim() ? 1 : 0;
    }
    const score = own(value, metric);
    if (typeof score === "boolean") return score ? 1 : 0;
    if (typeof score === "number" && score >= 0 && score <= 1) return score;
    throw this.#invalidScore(metric, line, score === undefined ? "none" : nameOf(score));
  }

  #invalidScore(metric: string, line: number, found: string) {
    return this.#file.fail(
      "score-invalid",
      `${this.#file.name}: line ${line} has no usable score for ${metric}`,
      { found, expected: "true, false, or a number from 0 to 1" },
      "choose another metric with --metric, or mend the line",
    );
  }

  /** What the item asks, as far as the line says. */
  content(value: JsonObject): ItemContent {
    if (ItemReader.isHarness(value)) {
      const [document, prompt, target] = ["doc_hash", "prompt_hash", "target_hash"].map((name) => {
        const found = own(value, name);
        return typeof found === "string" ? found.slice(0, HASH_DIGITS) : "";
      });
      return { document: document ?? "", prompt: prompt ?? "", target: target ?? "" };
    }
    return {
      document: "",
      prompt: hashed(own(value, "prompt")),
      target: hashed(own(value, "target")),
    };
  }
}

/** A field of the object itself: no name out of a file reaches a prototype. */
function own(value: JsonObject, name: string): unknown {
  return Object.hasOwn(value, name) ? value[name] : undefined;
}

function isScalar(value: unknown): value is string | number | boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

function hashed(value: unknown): string {
  if (value === undefined || value === null) return "";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return hash("sha256", text).slice(0, HASH_DIGITS);
}

/** A value in a few words, for a message. */
function nameOf(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "string") return JSON.stringify(value.slice(0, 100));
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return Array.isArray(value) ? "a list" : "an object";
}

// @ts-check
/**
 * Compares dumps for the benchmark, for as long as its standard input is open: a request a line, a reply a line.
 *
 * Request: `{ reference, candidate, floors, forced }`, paths. Reply: `{ forced, plain, tensors, quality }`, the
 * comparison with and without forced references, of which a record keeps no more than this; or `{ error }`.
 */

import { createInterface } from "node:readline";
import { compareDumps } from "../../dist/index.js";

/** @typedef {import("../../dist/index.js").ComparisonResult} Result */

/** @param {Result} result */
function judgement(result) {
  const groups = result.groups;
  return {
    verdict: result.verdict,
    origin: result.origin?.tensor ?? null,
    independent: groups.flatMap(({ independent }) => independent.map(({ tensor }) => tensor)),
    systematic: groups.map(({ systematic }) => systematic).find((found) => found !== null) ?? null,
    causes: (result.origin?.causes ?? []).map(({ id, confidence }) => ({ id, confidence })),
    findings: result.findings
      .filter(({ level }) => level !== "info")
      .map(({ rule, tensor, step, value, limit, level }) => ({
        rule,
        tensor,
        step,
        value,
        limit,
        level,
      })),
  };
}

/**
 * The figures of each tensor, those of decode steps under a name of their own.
 *
 * @param {Result} result
 */
function tensors(result) {
  return Object.fromEntries(
    result.tensors.map(({ name, step, rows, floor, own }) => [
      step === "prefill" ? name : `${step}:${name}`,
      {
        step,
        rows,
        floorRatio: floor?.floorRatio ?? null,
        floorRatioP99: floor?.floorRatioP99 ?? null,
        floorTokenRatio: floor?.floorTokenRatio ?? null,
        worstSampleFloorRatio: floor?.worstSampleFloorRatio ?? null,
        own,
      },
    ]),
  );
}

/** @param {Record<"reference" | "candidate", string> & Record<"floors" | "forced", string[]>} request */
async function reply({ reference, candidate, floors, forced }) {
  const own = await compareDumps({ reference, candidate, floors, forced });
  const plain = await compareDumps({ reference, candidate, floors });
  return {
    forced: judgement(own),
    plain: judgement(plain),
    tensors: tensors(own),
    quality: own.quality,
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  /** @type {object} */
  let answer;
  try {
    answer = await reply(JSON.parse(line));
  } catch (error) {
    answer = { error: String(error) };
  }
  // JSON has no numbers for NaN and infinities.
  const text = JSON.stringify(answer, (_key, value) =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value,
  );
  process.stdout.write(`${text}\n`);
}

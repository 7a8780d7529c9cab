// @ts-check
/** The command lines of the scripts. */

import { parseArgs } from "node:util";
import { Failure } from "./failure.mjs";

/**
 * Reads this process's options; what is not among them is refused.
 *
 * @template {NonNullable<import("node:util").ParseArgsConfig["options"]>} T
 * @param {T} options
 * @param {string} command how its help is asked for
 */
export function readOptions(options, command) {
  try {
    return parseArgs({ options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    const [problem = ""] = String(error instanceof Error ? error.message : error).split(". ");
    throw new Failure(
      "the options cannot be read",
      [
        ["given", process.argv.slice(2).join(" ")],
        ["problem", problem],
      ],
      `${command} lists the options`,
    );
  }
}

/**
 * @template {string} T
 * @param {string} option
 * @param {string} value
 * @param {readonly T[]} choices
 * @returns {T}
 */
export function oneOf(option, value, choices) {
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw new Failure(
    `${option} has no such value`,
    [
      ["given", value],
      ["known", choices.join(", ")],
    ],
    "give one of these",
  );
}

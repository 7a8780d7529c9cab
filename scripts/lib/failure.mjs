// @ts-check
/** What went wrong, in three parts: what, why, what to do. */

export class Failure extends Error {
  /**
   * @param {string} what one line
   * @param {readonly (readonly [label: string, fact: string])[]} facts
   * @param {string} help what to do
   */
  constructor(what, facts, help) {
    super(what);
    this.name = "Failure";
    this.facts = facts;
    this.help = help;
  }
}

/** @param {Failure} failure */
export function describe(failure) {
  const width = Math.max(4, ...failure.facts.map(([label]) => label.length));
  const line = (/** @type {string} */ label, /** @type {string} */ text) =>
    `  ${label.padEnd(width)}  ${text.replaceAll("\n", `\n${" ".repeat(width + 4)}`)}`;
  return [
    `error: ${failure.message}`,
    ...failure.facts.map(([label, fact]) => line(label, fact)),
    line("help", failure.help),
  ].join("\n");
}

/**
 * Runs a script. What it throws is reported and ends the process with 2.
 *
 * @param {() => Promise<number | void>} body returns the exit code; 0 where it returns nothing
 */
export async function main(body) {
  // An abandoned promise must not look like success.
  process.exitCode = 2;
  try {
    process.exitCode = (await body()) ?? 0;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const failure =
      error instanceof Failure
        ? error
        : new Failure(
            "something unforeseen happened in the scripts of this repository",
            [["error", error.stack ?? error.message]],
            "please report it with the lines above",
          );
    process.stderr.write(`\n${describe(failure)}\n`);
  }
}

import { check } from "./check.ts";
import type { Command } from "./command.ts";
import { compare } from "./compare.ts";
import { completion } from "./completion.ts";
import { config } from "./config.ts";
import { convert } from "./convert.ts";
import { evaluate } from "./eval.ts";
import { explain } from "./explain.ts";
import { init } from "./init.ts";
import { inspect } from "./inspect.ts";
import { repair } from "./repair.ts";
import { report } from "./report.ts";

export type { Command } from "./command.ts";

/** All commands, in the order in which the help lists them. */
export const COMMANDS: readonly Command[] = [
  compare,
  check,
  init,
  config,
  evaluate,
  inspect,
  report,
  convert,
  repair,
  explain,
  completion,
];

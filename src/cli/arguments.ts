/**
 * The options and positionals of one call, checked: flag before environment
 * before default. Everything that is not understood is a usage error.
 */

import { NpuDiffError } from "../core/errors.ts";
import { LIMIT_RANGES, type Limits } from "../core/options.ts";
import { environmentName, LIMITS, OPTIONS, type OptionName } from "./options.ts";

/** A decimal number with an optional exponent and per cent sign; hexadecimal and words are refused. */
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(%?)$/i;

/** A value and the place where it was given: `--max-kl` or `NPU_DIFF_MAX_KL`. */
interface Given<T> {
  readonly value: T;
  readonly from: string;
}

export function usageError(
  what: string,
  facts: Readonly<Record<string, string>>,
  help: string,
): NpuDiffError {
  return new NpuDiffError("usage", {
    what,
    facts: Object.entries(facts).map(([label, text]) => ({ label, text })),
    help,
  });
}

/** The error of a switch that was given a value which is neither true nor false. */
export function notASwitch(from: string, value: string): NpuDiffError {
  return usageError(
    `${from} is a switch`,
    { given: JSON.stringify(value), expected: "true or false" },
    from.startsWith("-") ? `give ${from} without a value` : `set ${from} to 1 or 0`,
  );
}

export class Arguments {
  readonly positionals: readonly string[];
  /** What yargs found, by option name: a string, a boolean, or an array where it was repeated. */
  private readonly parsed: Readonly<Record<string, unknown>>;
  private readonly env: Readonly<Record<string, string | undefined>>;

  constructor(
    positionals: readonly string[],
    parsed: Readonly<Record<string, unknown>>,
    env: Readonly<Record<string, string | undefined>>,
  ) {
    this.positionals = positionals;
    this.parsed = parsed;
    this.env = env;
  }

  flag(option: OptionName): boolean {
    const flag = this.parsed[option];
    if (typeof flag === "boolean") return flag;
    const given = this.single(option);
    if (given === null) return false;
    if (/^(?:1|true)$/i.test(given.value)) return true;
    if (/^(?:0|false)$/i.test(given.value)) return false;
    throw notASwitch(given.from, given.value);
  }

  /** The value of an option that is given at most once, null where it is not. */
  text(option: OptionName): string | null {
    return this.single(option)?.value ?? null;
  }

  /** All values of a repeatable option; the environment holds one. */
  list(option: OptionName): readonly string[] {
    return this.given(option).map(({ value }) => value);
  }

  choice<T extends string>(option: OptionName, choices: readonly T[], fallback: T): T {
    const given = this.single(option);
    if (given === null) return fallback;
    const choice = choices.find((one) => one === given.value);
    if (choice !== undefined) return choice;
    throw usageError(
      `${given.from} has no such value`,
      { given: JSON.stringify(given.value), expected: choices.join(", ") },
      `give one of the values of ${given.from}`,
    );
  }

  /** A finite number between `min` and `max`, null where it is not given. `0.1%` is 0.001. */
  number(option: OptionName, min: number, max: number): number | null {
    const given = this.single(option);
    if (given === null) return null;
    const match = NUMBER.exec(given.value);
    const value =
      match === null
        ? Number.NaN
        : match[1] === "%"
          ? Number(given.value.slice(0, -1)) / 100
          : Number(given.value);
    if (Number.isFinite(value) && value >= min && value <= max) return value;
    const range = max === Number.POSITIVE_INFINITY ? `at least ${min}` : `from ${min} to ${max}`;
    throw usageError(
      `${given.from} needs a number`,
      { given: JSON.stringify(given.value), expected: `a finite decimal number, ${range}` },
      "write it like 0.01, 1e-3 or 0.1%",
    );
  }

  /** A whole number between `min` and `max`, null where it is not given. */
  integer(option: OptionName, min: number, max: number): number | null {
    const given = this.single(option);
    if (given === null) return null;
    const value = /^\d{1,9}$/.test(given.value) ? Number(given.value) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw usageError(
      `${given.from} needs a whole number`,
      { given: JSON.stringify(given.value), expected: `a whole number from ${min} to ${max}` },
      `write it like ${min}`,
    );
  }

  /** The limits that are given. */
  limits(): Limits {
    return Object.fromEntries(
      LIMITS.flatMap(({ option, limit }) => {
        const { min, max } = LIMIT_RANGES[limit];
        const value = this.number(option, min, max);
        return value === null ? [] : [[limit, value]];
      }),
    );
  }

  /** Where the option was given, as `--max-kl` or `NPU_DIFF_MAX_KL`; null where it was not. */
  origin(option: OptionName): string | null {
    return this.given(option)[0]?.from ?? null;
  }

  /** Whether the option stands on the command line itself. */
  isFlagged(option: OptionName): boolean {
    return this.parsed[option] !== undefined;
  }

  private single(option: OptionName): Given<string> | null {
    const given = this.given(option);
    if (given.length > 1) {
      throw usageError(
        `--${option} was given ${given.length} times`,
        { given: given.map(({ value }) => JSON.stringify(value)).join(", ") },
        `give --${option} once`,
      );
    }
    return given[0] ?? null;
  }

  /** All values in order, from the command line or else from the environment. */
  private given(option: OptionName): readonly Given<string>[] {
    const parsed = this.parsed[option];
    const variable = environmentName(option);
    const values: readonly unknown[] =
      parsed === undefined ? [this.env[variable]] : Array.isArray(parsed) ? parsed : [parsed];
    const from = parsed === undefined ? variable : `--${option}`;
    const given = values.filter((value) => value !== undefined).map(String);
    if (given.includes("")) {
      throw usageError(
        `${from} is empty`,
        { given: '""', expected: OPTIONS[option].kind === "flag" ? "1 or 0" : "a value" },
        parsed === undefined ? `unset ${from}, or give it a value` : `give ${from} a value`,
      );
    }
    return given.map((value) => ({ value, from }));
  }
}
